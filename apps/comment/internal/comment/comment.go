// Package comment implements the comment service: the rules of reviews, their store, their ratings and votes, and the
// RPCs.
package comment

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/weblink"
)

const (
	// MaxReports is the most reports that a review keeps. Further ones change nothing.
	MaxReports = 50
	// maxFirstName is the most runes of a first name that a review shows.
	maxFirstName = 40
	// noName is shown for an author whose account has no name.
	noName = "Customer"
)

// Status is the state of a review.
type Status string

// The states of a review. A deleted one has no content; it keeps what must outlive the deletion.
const (
	Published Status = "published"
	Held      Status = "held"
	Rejected  Status = "rejected"
	Deleted   Status = "deleted"
)

// number is a number that sorts by value as a text, which is how documents sort.
type number int32

// String returns the number as documents store it.
func (n number) String() string { return fmt.Sprintf("%010d", int32(n)) }

// MarshalText encodes the number for JSON.
func (n number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText decodes the number from JSON.
func (n *number) UnmarshalText(b []byte) error {
	v, err := strconv.ParseInt(string(b), 10, 32)
	*n = number(v)
	return err
}

// sortable returns a time as a text that sorts by time.
func sortable(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// Review is what a customer says about a product. There is at most one for each customer and product: a deleted one is
// kept without its content, and revived if its author posts another one.
type Review struct {
	ID        string `json:"id"`
	ProductID string `json:"productId"`
	ShopID    string `json:"shopId"`
	AuthorID  string `json:"authorId"`
	// Posting counts how often the author has posted a review of the product.
	Posting int `json:"posting"`
	// RequestKey is the Idempotency-Key with which it was posted; it may be empty.
	RequestKey string `json:"requestKey,omitempty"`

	Rating           number `json:"rating"`
	Title            string `json:"title,omitempty"`
	Text             string `json:"text,omitempty"`
	VerifiedPurchase bool   `json:"verifiedPurchase,omitempty"`
	// TextKey identifies the text, whatever its case and punctuation. It is unset if the text is too short to be
	// recognized.
	TextKey string `json:"textKey,omitempty"`

	Status Status `json:"status"`
	// Since is since when it has had its status, sortable.
	Since       string    `json:"since"`
	HoldReasons []string  `json:"holdReasons,omitempty"`
	Reports     []Report  `json:"reports,omitempty"`
	Decision    *Decision `json:"decision,omitempty"`
	// Approved reports whether an operator has published it as it is. Reports no longer hold it then.
	Approved bool `json:"approved,omitempty"`
	// Unannounced reports whether it was never published since it was posted.
	Unannounced bool `json:"unannounced,omitempty"`
	// WasRejected reports whether an operator has rejected it and none has published it since. It outlives a deletion.
	WasRejected bool `json:"wasRejected,omitempty"`

	Reply   *Reply `json:"reply,omitempty"`
	Helpful number `json:"helpful"`

	// Counted is the number of stars with which the product's Rating counts it; 0: not at all. Steps is the number of
	// times that this has changed.
	Counted int   `json:"counted"`
	Steps   int64 `json:"steps"`

	CreatedAt time.Time `json:"createdAt"`
	// UpdatedAt is when its author changed it last.
	UpdatedAt time.Time `json:"updatedAt"`
	// Newest is CreatedAt, sortable. Listed is the same, but unset if it is deleted.
	Newest string `json:"newest"`
	Listed string `json:"listed,omitempty"`
}

// Reply is a shop's reply to a review.
type Reply struct {
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"createdAt"`
}

// Report is a user's report of a review.
type Report struct {
	UserID    string    `json:"userId"`
	Reason    string    `json:"reason"`
	CreatedAt time.Time `json:"createdAt"`
}

// Decision is an operator's decision about a review.
type Decision struct {
	Publish   bool      `json:"publish,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	UserID    string    `json:"userId"`
	CreatedAt time.Time `json:"createdAt"`
}

// Content is what an author decides of a review.
type Content struct {
	Rating      int32
	Title, Text string
}

// Change is an author's change of a review. Nil leaves a field as it is.
type Change struct {
	Rating      *int32
	Title, Text *string
}

// NewReview returns a review that is not stored yet, for a customer who has bought the product from the shop. Earlier
// is the customer's deleted review of the product, or the zero value.
//
// Errors: invalid_argument.
func NewReview(authorID, productID, shopID string, c Content, earlier Review, now time.Time) (Review, error) {
	v := Review{
		ID: cmp.Or(earlier.ID, id.New(id.Review)), ProductID: productID, ShopID: shopID, AuthorID: authorID,
		Posting: earlier.Posting + 1, VerifiedPurchase: true,
		WasRejected: earlier.WasRejected, Counted: earlier.Counted, Steps: earlier.Steps,
		Status: Published, Since: sortable(now), CreatedAt: now, Newest: sortable(now), Listed: sortable(now),
	}
	_, _, err := v.apply(Change{Rating: &c.Rating, Title: &c.Title, Text: &c.Text}, now)
	return v, err
}

// apply makes an author's change. It reports whether a field has a new value, and whether the title or the text has.
//
// Errors: invalid_argument.
func (v *Review) apply(c Change, now time.Time) (changed, reworded bool, err error) {
	before := Content{int32(v.Rating), v.Title, v.Text}
	if c.Rating != nil {
		v.Rating = number(*c.Rating)
	}
	if c.Title != nil {
		if v.Title, err = clean("title", *c.Title, false); err != nil {
			return false, false, err
		}
	}
	if c.Text != nil {
		if v.Text, err = clean("text", *c.Text, true); err != nil {
			return false, false, err
		}
	}
	after := Content{int32(v.Rating), v.Title, v.Text}
	if changed = after != before; changed {
		v.UpdatedAt = now
	}
	before.Rating = after.Rating
	return changed, after != before, nil
}

// suspect stores why the automatic rules suspect a review, and holds it if they do. A review that is not published
// stays held until an operator decides.
func (v *Review) suspect(reasons []string, now time.Time) {
	if slices.Contains(v.HoldReasons, reasonReports) {
		reasons = append(reasons, reasonReports)
	}
	v.HoldReasons, v.Approved = reasons, false
	if len(reasons) > 0 || v.Status != Published {
		v.setStatus(Held, now)
	}
}

func (v *Review) setStatus(s Status, now time.Time) {
	if v.Status != s {
		v.Status, v.Since = s, sortable(now)
	}
}

// remove deletes the content of a review.
func (v *Review) remove(now time.Time) {
	*v = Review{
		ID: v.ID, ProductID: v.ProductID, ShopID: v.ShopID, AuthorID: v.AuthorID, Posting: v.Posting,
		WasRejected: v.WasRejected, Counted: v.Counted, Steps: v.Steps,
		Status: Deleted, Since: sortable(now), Newest: v.Newest, CreatedAt: v.CreatedAt, UpdatedAt: now,
	}
}

// moderate applies an operator's decision and reports whether it changes anything.
func (v *Review) moderate(d Decision) bool {
	if d.Publish && v.Status == Published && v.Approved || !d.Publish && v.Status == Rejected {
		return false
	}
	v.Decision, v.Approved, v.WasRejected = &d, d.Publish, !d.Publish
	if d.Publish {
		v.HoldReasons = nil
		v.setStatus(Published, d.CreatedAt)
	} else {
		v.setStatus(Rejected, d.CreatedAt)
	}
	return true
}

// reportedBy reports whether a user has reported the review.
func (v *Review) reportedBy(userID string) bool {
	return slices.ContainsFunc(v.Reports, func(r Report) bool { return r.UserID == userID })
}

// report adds a user's report and reports whether it holds the review. From most reports on it is held; 0: never.
func (v *Review) report(r Report, most int) (held bool) {
	if len(v.Reports) >= MaxReports {
		return false
	}
	v.Reports = append(v.Reports, r)
	if most == 0 || len(v.Reports) < most || v.Approved {
		return false
	}
	v.HoldReasons = append(v.HoldReasons, reasonReports)
	v.setStatus(Held, r.CreatedAt)
	return true
}

// stars returns the number of stars with which a review counts; 0: not at all.
func (v *Review) stars() int {
	if v.Status != Published {
		return 0
	}
	return int(v.Rating)
}

// clean returns a text without white space at its edges. Only a text of several lines may have line breaks.
//
// Errors: invalid_argument.
func clean(field, text string, lines bool) (string, error) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", " ").Replace(strings.TrimSpace(text))
	if strings.ContainsFunc(text, func(r rune) bool { return weblink.Reorders(r) && (r != '\n' || !lines) }) {
		return "", errs.InvalidField(field, "must not contain control characters")
	}
	return text, nil
}

// shortName returns what a review shows of its author's name: the first name and the initial of the last one.
func shortName(name string) string {
	words := strings.Fields(name)
	if len(words) == 0 || strings.Contains(name, "@") { // an address is no name
		return noName
	}
	short := words[0]
	if utf8.RuneCountInString(short) > maxFirstName {
		short = string([]rune(short)[:maxFirstName])
	}
	if len(words) > 1 {
		initial, _ := utf8.DecodeRuneInString(words[len(words)-1])
		short += " " + string(unicode.ToUpper(initial)) + "."
	}
	return short
}
