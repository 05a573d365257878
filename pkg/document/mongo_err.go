package document

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"souk/pkg/errs"
)

// Codes of the server's errors.
const (
	mongoInternal      = 1
	mongoIndexNotFound = 27
)

var (
	mongoTooLarge = []int{10334, 17419, 17420}
	mongoTimeout  = []int{50, 64, 262} // of the statement, and of its confirmation by a majority
	mongoDown     = []int{
		6, 7, 89, 9001, // the servers do not reach each other
		91, 11600, 11602, // shut down, or interrupted by it
		189, 10107, 13435, 13436, // not the primary any more
		112,   // a write conflict
		14031, // the disk is full
	}
	violatedIndex = regexp.MustCompile(`index: (\S+)`)
)

// mongoErr gives an error of MongoDB the code that postgres.Err would give it.
func mongoErr(err error) error {
	var coded *errs.Error
	var selection topology.ServerSelectionError
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, driver.ErrDocumentTooLarge), hasCode(err, mongoTooLarge...):
		return tooLarge(withoutValues(err))
	case errors.As(err, &selection) && !errors.Is(err, context.Canceled), hasCode(err, mongoDown...),
		errors.Is(err, mongo.ErrClientDisconnected), mongo.IsNetworkError(err) && !mongo.IsTimeout(err) &&
			!errors.Is(err, context.Canceled):
		return errs.Wrap(withoutValues(err), errs.Unavailable, "the database is out of reach for the moment").
			WithRetryAfter(time.Second)
	case errors.Is(err, context.Canceled), mongo.IsTimeout(err), hasCode(err, mongoTimeout...):
		return errs.Wrap(withoutValues(err), errs.Timeout, "the request took too long or was given up")
	default:
		return withoutValues(err)
	}
}

// withoutValues returns an error of the server without its text, which may name values of the document.
func withoutValues(err error) error {
	var server mongo.ServerError
	if errors.As(err, &server) && !mongo.IsNetworkError(err) {
		return fmt.Errorf("MongoDB: error %v", server.ErrorCodes())
	}
	return err
}

func hasCode(err error, codes ...int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) &&
		slices.ContainsFunc(server.ErrorCodes(), func(code int) bool { return slices.Contains(codes, code) })
}

// err is mongoErr for a write of a document with these keys.
func (b mongoBackend) err(
	ctx context.Context, c collection, id string, keys map[string]map[string]string, err error,
) error {
	if !isDuplicate(err) {
		return mongoErr(err)
	}
	cause := withoutValues(err)
	name := ""
	if m := violatedIndex.FindStringSubmatch(err.Error()); m != nil && mongo.IsDuplicateKeyError(err) {
		name = m[1] // MongoDB names it before any value
	} else if name, err = b.violated(ctx, c, id, keys); err != nil {
		return err
	}
	for _, ix := range c.indexes {
		if mongoName(ix) == name {
			return taken(ix.Name, cause)
		}
	}
	if name == "_id_" {
		return taken("id", cause)
	}
	return errs.Wrap(cause, errs.AlreadyExists, "this already exists")
}

// isDuplicate reports whether a write, or a new index, violates a unique index. FerretDB calls that an internal error
// except when it inserts.
func isDuplicate(err error) bool {
	return mongo.IsDuplicateKeyError(err) ||
		hasCode(err, mongoInternal) && strings.Contains(err.Error(), "UNIQUE constraint failed")
}

// violated finds out which unique index the document violates, because FerretDB does not say. "" means none any more.
func (b mongoBackend) violated(
	ctx context.Context, c collection, id string, keys map[string]map[string]string,
) (string, error) {
	for _, ix := range c.indexes {
		fields, ok := keys[mongoName(ix)]
		if !ix.Unique || !ok {
			continue
		}
		filter := bson.M{"_id": bson.M{"$ne": id}}
		for i := range ix.Fields {
			filter[keyPath(ix, i)] = fields[keyField(i)]
		}
		n, err := b.of(c).CountDocuments(ctx, filter)
		if err != nil {
			return "", mongoErr(err)
		}
		if n > 0 {
			return mongoName(ix), nil
		}
	}
	n, err := b.of(c).CountDocuments(ctx, bson.M{"_id": id})
	if err != nil || n == 0 {
		return "", mongoErr(err)
	}
	return "_id_", nil
}

func unkeepable(cause error) error {
	return errs.Wrap(cause, errs.Invalid, "a text contains a character that cannot be kept")
}

// checkTexts refuses what a PostgreSQL text cannot hold.
func checkTexts(texts ...string) error {
	for _, s := range texts {
		if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
			return unkeepable(nil)
		}
	}
	return nil
}

// holdsNUL reports whether a text in the JSON holds NUL. JSON escapes it, but \\u0000 is an escaped backslash.
func holdsNUL(body []byte) bool {
	for rest := body; ; {
		i := bytes.Index(rest, []byte(`\u0000`))
		if i < 0 {
			return false
		}
		before := rest[:i]
		if (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 0 {
			return true
		}
		rest = rest[i+1:]
	}
}
