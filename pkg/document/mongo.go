package document

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"souk/pkg/chore"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// mongoBackend stores a collection in a MongoDB collection of the same name. The document stands there as JSON text,
// because MongoDB does not keep every JSON as it is: names with dots, numbers. What it is found by stands beside it, in
// keys: MongoDB cannot index an expression. Each write writes both, and the events, in one document, so no transaction
// is needed.
type mongoBackend struct {
	db   *mongo.Database
	wake chore.Wake // wakes the move of events to the outbox
}

// mongoDoc is a document as MongoDB has it. A deleted document whose events wait has no Doc and no Keys.
type mongoDoc struct {
	ID       string  `bson:"_id"`
	Revision int64   `bson:"revision"`
	Doc      *string `bson:"doc,omitempty"`
	// Keys are the values of the indexes' fields, folded if the index folds: by the index's physical name, then by
	// keyField. An index of which a field is missing in the document is missing here.
	Keys map[string]map[string]string `bson:"keys,omitempty"`
	// Keyed is the layout of Keys: see collection.layout.
	Keyed string `bson:"keyed,omitempty"`
	// Events are those that are not in the outbox yet, in order.
	Events []mongoEvent `bson:"events,omitempty"`
}

type mongoEvent struct {
	ID    string `bson:"id"`
	Event string `bson:"event"` // JSON of event.Event
}

const (
	mongoPrefix = "souk_" // of the names of declared indexes
	keyedIndex  = "keyed"
	eventsIndex = "events"
	eventIDs    = "events.id"
)

// mongoName returns the index's name in MongoDB, and in a document's keys. It changes with the definition.
func mongoName(ix Index) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%q %t %t", ix.Fields, ix.Unique, ix.Fold))
	return mongoPrefix + ix.Name + "_" + hex.EncodeToString(h[:4])
}

// layout identifies the set of indexes whose values a document's keys hold.
func (c collection) layout() string {
	h := sha256.New()
	for _, ix := range c.indexes {
		h.Write([]byte(mongoName(ix) + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// keyField returns the name of the n-th field's value in a document's keys.
func keyField(n int) string { return "f" + strconv.Itoa(n) }

// keyPath returns the path of the n-th field's value.
func keyPath(ix Index, n int) string { return "keys." + mongoName(ix) + "." + keyField(n) }

// folded returns a value as the index has it.
func folded(ix Index, v string) string {
	if ix.Fold {
		return cases.Lower(language.Und).String(v)
	}
	return v
}

// keys returns what the document is found by.
func (c collection) keys(body []byte) (map[string]map[string]string, error) {
	var doc any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "document: a document of %s is not JSON", c.name)
	}
	all := map[string]map[string]string{}
	for _, ix := range c.indexes {
		fields := map[string]string{}
		for i, path := range ix.Fields {
			v, ok := lookup(doc, path)
			if !ok {
				break
			}
			fields[keyField(i)] = folded(ix, v)
		}
		if len(fields) == len(ix.Fields) {
			all[mongoName(ix)] = fields
		}
	}
	return all, nil
}

// lookup returns the value at a path as text; ok is false if it is missing or null.
func lookup(doc any, path string) (text string, ok bool) {
	for name := range strings.SplitSeq(path, ".") {
		object, _ := doc.(map[string]any)
		doc = object[name]
	}
	switch v := doc.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		b, err := json.Marshal(v)
		return string(b), err == nil
	}
}

func (b mongoBackend) of(c collection) *mongo.Collection { return b.db.Collection(c.name) }

func (b mongoBackend) ensure(ctx context.Context, c collection) error {
	ixs := b.of(c).Indexes()
	specs, err := ixs.ListSpecifications(ctx)
	if err != nil {
		return mongoErr(err)
	}
	existing := map[string]bool{}
	for _, s := range specs {
		existing[s.Name] = true
	}
	create := func(name string, keys bson.D, o *options.IndexOptionsBuilder) error {
		if existing[name] {
			delete(existing, name)
			return nil
		}
		_, err := ixs.CreateOne(ctx, mongo.IndexModel{Keys: keys, Options: o.SetName(name)})
		return err
	}
	if err := create(keyedIndex, bson.D{{Key: "keyed", Value: 1}}, options.Index()); err != nil {
		return mongoErr(err)
	}
	if err := create(eventsIndex, bson.D{{Key: eventIDs, Value: 1}}, options.Index().SetSparse(true)); err != nil {
		return mongoErr(err)
	}
	// The documents have the keys of an index before it exists, so that a unique one finds what violates it.
	if err := b.rekey(ctx, c); err != nil {
		return err
	}
	for _, ix := range c.indexes {
		var keys bson.D
		for i := range ix.Fields {
			keys = append(keys, bson.E{Key: keyPath(ix, i), Value: 1})
		}
		o := options.Index()
		if ix.Unique { // sparse: documents without the fields do not collide
			o.SetUnique(true).SetSparse(true)
		} else {
			keys = append(keys, bson.E{Key: "_id", Value: 1})
		}
		if err := create(mongoName(ix), keys, o); isDuplicate(err) {
			return taken(ix.Name, withoutValues(err))
		} else if err != nil {
			return mongoErr(err)
		}
	}
	for name := range existing {
		if !strings.HasPrefix(name, mongoPrefix) {
			continue // the identifier's, or an operator's
		}
		if err := ixs.DropOne(ctx, name); err != nil && !hasCode(err, mongoIndexNotFound) {
			return mongoErr(err)
		}
	}
	return nil
}

// rekey writes the keys of documents that were written with other indexes. It leaves out a document that is written at
// the same time: by this version of the program with keys, or by an older one, which rekey cannot win against.
func (b mongoBackend) rekey(ctx context.Context, c collection) error {
	cursor, err := b.of(c).Find(ctx, bson.M{"keyed": bson.M{"$ne": c.layout()}, "doc": bson.M{"$exists": true}},
		options.Find().SetProjection(bson.M{"events": 0}))
	if err != nil {
		return mongoErr(err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server closes it, too
	for cursor.Next(ctx) {
		var d mongoDoc
		if err := cursor.Decode(&d); err != nil {
			return mongoErr(err)
		}
		keys, err := c.keys([]byte(*d.Doc))
		if err != nil {
			return err
		}
		if _, err := b.of(c).UpdateOne(ctx, bson.M{"_id": d.ID, "revision": d.Revision, "doc": d.Doc},
			bson.M{"$set": bson.M{"keys": keys, "keyed": c.layout()}}); err != nil {
			return b.err(ctx, c, d.ID, keys, err)
		}
	}
	return mongoErr(cursor.Err())
}

func (b mongoBackend) get(ctx context.Context, c collection, ids []string) ([]raw, error) {
	if err := checkTexts(ids...); err != nil {
		return nil, err
	}
	return b.read(ctx, c, Index{}, nil, bson.M{"_id": bson.M{"$in": ids}}, options.Find())
}

func (b mongoBackend) insert(ctx context.Context, c collection, id string, body []byte, events []event.Event) error {
	keys, err := b.prepare(c, id, body)
	if err != nil {
		return err
	}
	pending, err := mongoEvents(events, 1)
	if err != nil {
		return err
	}
	text := string(body)
	doc := mongoDoc{ID: id, Revision: 1, Doc: &text, Keys: keys, Keyed: c.layout(), Events: pending}
	for range 2 {
		_, err = b.of(c).InsertOne(ctx, doc)
		if err = b.err(ctx, c, id, keys, err); !Violates(err, "id") {
			break
		}
		// The document may be deleted, so that only its events are left. If they have just gone, too, the next attempt
		// inserts.
		u := bson.M{"$set": bson.M{"revision": doc.Revision, "doc": text, "keys": keys, "keyed": doc.Keyed}}
		matched, err := b.update(ctx, c, id, keys, bson.M{"doc": bson.M{"$exists": false}}, u, pending)
		if matched || err != nil {
			return err
		}
	}
	return b.written(err, pending)
}

func (b mongoBackend) replace(
	ctx context.Context, c collection, id string, revision int64, body []byte, events []event.Event,
) error {
	keys, err := b.prepare(c, id, body)
	if err != nil {
		return err
	}
	pending, err := mongoEvents(events, revision+1)
	if err != nil {
		return err
	}
	u := bson.M{
		"$set": bson.M{"doc": string(body), "keys": keys, "keyed": c.layout()},
		"$inc": bson.M{"revision": int64(1)},
	}
	matched, err := b.update(ctx, c, id, keys,
		bson.M{"revision": revision, "doc": bson.M{"$exists": true}}, u, pending)
	if matched || err != nil {
		return err
	}
	raws, err := b.get(ctx, c, []string{id})
	if err != nil {
		return err
	}
	if len(raws) == 0 {
		return notFound()
	}
	return errs.New(errs.Conflict, "this was changed by somebody else meanwhile")
}

// delete deletes the document. As long as events of it wait, it stays without its text and its keys.
func (b mongoBackend) delete(ctx context.Context, c collection, id string, events []event.Event) error {
	for range updateAttempts {
		raws, err := b.get(ctx, c, []string{id})
		if err != nil {
			return err
		}
		if len(raws) == 0 {
			return notFound()
		}
		revision := raws[0].revision
		if len(events) == 0 {
			r, err := b.of(c).DeleteOne(ctx,
				bson.M{"_id": id, "revision": revision, eventIDs: bson.M{"$exists": false}})
			if err != nil {
				return mongoErr(err)
			}
			if r.DeletedCount > 0 {
				return nil
			}
		}
		pending, err := mongoEvents(events, revision+1)
		if err != nil {
			return err
		}
		u := bson.M{
			"$unset": bson.M{"doc": "", "keys": "", "keyed": ""},
			"$inc":   bson.M{"revision": int64(1)},
		}
		matched, err := b.update(ctx, c, id, nil,
			bson.M{"revision": revision, "doc": bson.M{"$exists": true}}, u, pending)
		if matched || err != nil {
			return err
		}
	}
	return errs.New(errs.Conflict, "this was changed by somebody else meanwhile")
}

// update updates the document, if the condition holds, and adds the events. It reports whether the condition held.
func (b mongoBackend) update(
	ctx context.Context, c collection, id string, keys map[string]map[string]string, condition, u bson.M,
	pending []mongoEvent,
) (matched bool, err error) {
	condition["_id"] = id
	if len(pending) > 0 {
		u["$push"] = bson.M{"events": bson.M{"$each": pending}}
	}
	r, err := b.of(c).UpdateOne(ctx, condition, u)
	if err != nil {
		return false, b.err(ctx, c, id, keys, err)
	}
	return r.MatchedCount > 0, b.written(nil, pending)
}

// written wakes the move of events after a write that did not fail. It returns err.
func (b mongoBackend) written(err error, pending []mongoEvent) error {
	if err == nil && len(pending) > 0 {
		b.wake.Now()
	}
	return err
}

func (b mongoBackend) prepare(c collection, id string, body []byte) (map[string]map[string]string, error) {
	if err := checkTexts(id); err != nil {
		return nil, err
	}
	if holdsNUL(body) {
		return nil, unkeepable(nil)
	}
	keys, err := c.keys(body)
	size := len(body)
	for _, fields := range keys {
		for _, v := range fields {
			size += len(v)
		}
	}
	if err == nil && size > MaxSize {
		err = tooLarge(nil)
	}
	return keys, err
}

func mongoEvents(events []event.Event, version int64) ([]mongoEvent, error) {
	var out []mongoEvent
	for _, e := range events {
		e.AggregateVersion = version
		text, err := json.Marshal(e)
		if err != nil {
			return nil, errs.Wrap(err, errs.Internal, "event %s cannot be kept", e.ID)
		}
		out = append(out, mongoEvent{ID: e.ID, Event: string(text)})
	}
	return out, nil
}

func (b mongoBackend) find(ctx context.Context, c collection, f find) ([]raw, error) {
	if err := checkTexts(append(append([]string{f.prefix}, f.equal...), f.cursorTexts()...)...); err != nil {
		return nil, err
	}
	filter, sort := mongoFilter(f)
	return b.read(ctx, c, f.index, f.rest, filter, options.Find().SetSort(sort).SetLimit(int64(f.limit)))
}

func (f find) cursorTexts() []string {
	if f.after == nil {
		return nil
	}
	return append([]string{f.after.ID}, f.after.Keys...)
}

func mongoFilter(f find) (filter bson.M, sort bson.D) {
	filter = bson.M{}
	if f.index.Name == "" {
		filter["doc"] = bson.M{"$exists": true}
	}
	for i, v := range f.equal {
		filter[keyPath(f.index, i)] = bson.M{"$eq": folded(f.index, v)}
	}
	direction, compare := 1, "$gt"
	if f.index.Descending {
		direction, compare = -1, "$lt"
	}
	for i := range f.rest {
		path := keyPath(f.index, len(f.equal)+i)
		filter[path] = bson.M{"$gte": ""} // it is there
		if i == 0 && f.prefix != "" {
			p := folded(f.index, f.prefix)
			// U+10FFFF is a noncharacter: every text with the prefix sorts before prefix + U+10FFFF.
			filter[path] = bson.M{"$gte": p, "$lt": p + "\U0010FFFF"}
		}
		sort = append(sort, bson.E{Key: path, Value: direction})
	}
	// A unique index has no _id. Its fields alone are an order.
	if !f.index.Unique || len(f.rest) == 0 {
		sort = append(sort, bson.E{Key: "_id", Value: direction})
	}
	if f.after == nil {
		return filter, sort
	}
	// (a, b) > (x, y) is a > x, or a = x and b > y. Each branch has all conditions, so that it is a range of the index.
	after := append(append([]string{}, f.after.Keys...), f.after.ID)
	var branches []bson.M
	for i := range sort {
		branch := maps.Clone(filter)
		for j := range i + 1 {
			path, op := sort[j].Key, "$eq"
			if j == i {
				op = compare
			}
			all := bson.M{op: after[j]}
			if have, ok := branch[path].(bson.M); ok {
				maps.Copy(all, have)
			}
			branch[path] = all
		}
		branches = append(branches, branch)
	}
	return bson.M{"$or": branches}, sort
}

// read reads documents, and the values of the index's fields rest.
func (b mongoBackend) read(
	ctx context.Context, c collection, ix Index, rest []string, filter bson.M, o *options.FindOptionsBuilder,
) ([]raw, error) {
	projection := bson.M{"revision": 1, "doc": 1}
	if len(rest) > 0 {
		projection["keys."+mongoName(ix)] = 1
	}
	cursor, err := b.of(c).Find(ctx, filter, o.SetProjection(projection))
	if err != nil {
		return nil, mongoErr(err)
	}
	var docs []mongoDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, mongoErr(err)
	}
	raws := make([]raw, 0, len(docs))
	for _, d := range docs {
		if d.Doc == nil {
			continue // deleted
		}
		r := raw{id: d.ID, revision: d.Revision, body: []byte(*d.Doc)}
		for i := range rest {
			r.keys = append(r.keys, d.Keys[mongoName(ix)][keyField(len(ix.Fields)-len(rest)+i)])
		}
		raws = append(raws, r)
	}
	return raws, nil
}
