package service

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	texttemplate "text/template"
	"text/template/parse"

	"souk/apps/notification/internal/domain"
)

//go:embed texts/*.json
var textFiles embed.FS

// Locales are the languages of notices. DefaultLocale is that of recipients who have not chosen one of them.
var Locales = []string{DefaultLocale, "pt", "vi"}

// DefaultLocale is the language of recipients who have not chosen another one.
const DefaultLocale = "en"

// Fields are what the templates of texts may show. They hold no addresses.
type Fields struct {
	// Number is the number of the order.
	Number string
	// Shop is the name of the shop.
	Shop string
	// Carrier and TrackingNumber say how an order is shipped; both may be empty.
	Carrier, TrackingNumber string
	// Amount is what was paid back, or the total of a cart.
	Amount string
	// Role is that of an invited person.
	Role string
	// Count is the number of orders or variants of a list, or of the items of a cart.
	Count int
	// Rating is the number of stars of a review, and Published reports whether everybody sees it.
	Rating    int32
	Published bool
	// Code is that of a voucher.
	Code string
	// Partly reports that other parts of the order stay.
	Partly bool
}

// sample shows a template in a preview.
var sample = Fields{
	Number: "S-20261129-4711", Shop: "Aurora", Carrier: "Correios", TrackingNumber: "BR123", Role: "staff", Count: 2,
	Amount: "BRL 39.80", Rating: 4, Published: true, Code: "WELCOME-10",
}

// language has the texts of a language.
type language struct {
	Labels map[string]string            `json:"labels"`
	Kinds  map[domain.Kind]defaultTexts `json:"kinds"`
}

type defaultTexts struct{ Subject, Email, Inbox string }

func readLanguages() (map[string]language, error) {
	out := map[string]language{}
	for _, locale := range Locales {
		raw, err := textFiles.ReadFile("texts/" + locale + ".json")
		if err != nil {
			return nil, err
		}
		var l language
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, fmt.Errorf("texts of %s: %w", locale, err)
		}
		out[locale] = l
	}
	return out, nil
}

// localeOf returns the locale for a language tag such as pt-BR.
func localeOf(tag string) string {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	for _, locale := range Locales {
		if base == locale {
			return locale
		}
	}
	return DefaultLocale
}

// text returns the default text of a kind on a channel. All but mails share the short one.
func (l language) text(kind domain.Kind, channel domain.Channel) domain.Text {
	t := l.Kinds[kind]
	if channel == domain.Email {
		return domain.Text{Subject: t.Subject, Body: t.Email}
	}
	return domain.Text{Subject: t.Subject, Body: t.Inbox}
}

// maxText is the largest size in bytes that a template may have when it is filled in.
const maxText = 16 << 10

// fill fills in the templates of a text. The subject is one line.
func fill(t domain.Text, f Fields) (domain.Text, error) {
	subject, err := execute(t.Subject, f)
	if err != nil {
		return domain.Text{}, fmt.Errorf("subject: %w", err)
	}
	body, err := execute(t.Body, f)
	if err != nil {
		return domain.Text{}, fmt.Errorf("body: %w", err)
	}
	return domain.Text{Subject: oneLine(subject), Body: strings.TrimSpace(body)}, nil
}

func execute(text string, f Fields) (string, error) {
	t, err := texttemplate.New("text").Parse(text)
	if err != nil {
		return "", err
	}
	if len(t.Templates()) > 1 {
		return "", errors.New("it may not define templates")
	}
	if err := plain(t.Root); err != nil {
		return "", err
	}
	out := &bounded{}
	if err := t.Execute(out, f); err != nil {
		return "", err
	}
	return out.String(), nil
}

// functions are those that templates may call. Others, such as printf, may need any amount of memory.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"}

// plain returns an error for a template that does more than to show fields, and to choose by them.
func plain(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, child := range n.Nodes {
			if err := plain(child); err != nil {
				return err
			}
		}
		return nil
	case *parse.IfNode:
		return errors.Join(plain(n.Pipe), plain(n.List), plain(n.ElseList))
	case *parse.ActionNode:
		return plain(n.Pipe)
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			for _, arg := range command.Args {
				if err := plain(arg); err != nil {
					return err
				}
			}
		}
		return nil
	case *parse.IdentifierNode:
		if !slices.Contains(functions, n.Ident) {
			return fmt.Errorf("it may not call %s", n.Ident)
		}
		return nil
	case *parse.TextNode, *parse.CommentNode, *parse.FieldNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		return nil
	}
	return fmt.Errorf("it may not use %s", n)
}

// bounded refuses more than maxText.
type bounded struct{ strings.Builder }

// Write writes, or returns an error.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxText {
		return 0, fmt.Errorf("it is larger than %d bytes", maxText)
	}
	return b.Builder.Write(p)
}

// paragraphs splits a body at its blank lines.
func paragraphs(body string) []string {
	var out []string
	for p := range strings.SplitSeq(body, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
