package document

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// FailAfterMoved is hit after events have got into the outbox, before they are removed from their documents.
const FailAfterMoved = "document.after_moved"

const (
	mongoSelection = 5 * time.Second // to find a primary, unless the URL says otherwise
	moveEvery      = 500 * time.Millisecond
	moveBatch      = 100 // documents
	moveTimeout    = 30 * time.Second
)

// MongoOptions says where documents and their events are. All fields are required, except Wake.
type MongoOptions struct {
	// URL is the URL of the servers: mongodb://… or mongodb+srv://….
	URL string
	// Database is the name of the service's database.
	Database string
	// Outbox is the service's PostgreSQL database, which gets the events of the documents.
	Outbox *pgxpool.Pool
	// Wake is called when events have got into the outbox; nil means that nothing is.
	Wake func()
	// Logger takes failures of the move of events.
	Logger *zap.Logger
}

// Mongo is a MongoDB database that holds collections. [Mongo.Run] moves the events of its documents to the outbox.
type Mongo struct {
	o      MongoOptions
	client *mongo.Client
	db     *mongo.Database
	wake   chore.Wake
}

// OpenMongo opens a MongoDB database. It does not wait for a server. The caller closes it.
//
// Errors: invalid_argument (the URL).
func OpenMongo(o MongoOptions) (*Mongo, error) {
	client, err := mongo.Connect(options.Client().
		SetServerSelectionTimeout(mongoSelection).
		// What a majority has confirmed is not rolled back when the primary changes.
		SetWriteConcern(writeconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetAppName("souk-" + o.Database).
		ApplyURI(o.URL))
	if err != nil {
		return nil, errs.Wrap(err, errs.Invalid, "the URL of MongoDB is wrong")
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	return &Mongo{o: o, client: client, db: client.Database(o.Database), wake: chore.NewWake()}, nil
}

// Store returns the store of the database.
func (m *Mongo) Store() *Store { return &Store{backend: mongoBackend{db: m.db, wake: m.wake}} }

// Close closes the connections.
func (m *Mongo) Close(ctx context.Context) error { return mongoErr(m.client.Disconnect(ctx)) }

// Ready returns nil if MongoDB answers.
//
// Errors: unavailable, timeout.
func (m *Mongo) Ready(ctx context.Context) error { return mongoErr(m.client.Ping(ctx, nil)) }

// Run moves events of documents to the outbox until ctx ends: soon after a write of this process, and twice a second
// for those of processes that died.
func (m *Mongo) Run(ctx context.Context) error {
	return chore.Chore{
		Name: "move events of documents to the outbox", Every: moveEvery, Batch: moveBatch, Wake: m.wake,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			ctx, cancel := context.WithTimeout(ctx, moveTimeout)
			defer cancel()
			return m.Move(ctx)
		},
		Logger: m.o.Logger,
	}.Run(ctx)
}

// Move moves events of documents to the outbox, at most those of 100 documents of each collection, and returns the
// number of documents. A document's events get there in order. If the process dies before their removal from the
// document, they get there again; consumers know them by their IDs.
//
// Errors: unavailable, timeout.
func (m *Mongo) Move(ctx context.Context) (int, error) {
	names, err := m.db.ListCollectionNames(ctx, bson.M{})
	if err != nil {
		return 0, mongoErr(err)
	}
	most := 0
	for _, name := range names {
		// A write that a majority has not confirmed may be rolled back: its events do not leave yet.
		c := m.db.Collection(name, options.Collection().SetReadConcern(readconcern.Majority()))
		waiting, err := withEvents(ctx, c)
		if err == nil && len(waiting) > 0 {
			err = m.locked(ctx, func() error {
				n, err := m.move(ctx, c)
				most = max(most, n)
				return err
			})
		}
		if err != nil {
			return most, err
		}
	}
	return most, nil
}

// Waiting returns the number of documents with an event from before a time that is not in the outbox: of at most 100
// documents of each collection.
//
// Errors: unavailable, timeout.
func (m *Mongo) Waiting(ctx context.Context, before time.Time) (int, error) {
	names, err := m.db.ListCollectionNames(ctx, bson.M{})
	if err != nil {
		return 0, mongoErr(err)
	}
	n := 0
	for _, name := range names {
		docs, err := withEvents(ctx, m.db.Collection(name))
		if err != nil {
			return n, err
		}
		for _, d := range docs {
			events, err := d.decodeEvents()
			if err != nil {
				return n, err
			}
			if slices.ContainsFunc(events, func(e event.Event) bool { return e.Time.Before(before) }) {
				n++
			}
		}
	}
	return n, nil
}

// withEvents returns the first documents with events that wait, by the index of the events' IDs: the oldest first.
func withEvents(ctx context.Context, c *mongo.Collection) ([]mongoDoc, error) {
	cursor, err := c.Find(ctx, bson.M{eventIDs: bson.M{"$gt": ""}},
		options.Find().SetLimit(moveBatch).SetProjection(bson.M{"events": 1}))
	if err != nil {
		return nil, mongoErr(err)
	}
	var docs []mongoDoc
	err = cursor.All(ctx, &docs)
	return docs, mongoErr(err)
}

func (d mongoDoc) decodeEvents() ([]event.Event, error) {
	events := make([]event.Event, len(d.Events))
	for i, e := range d.Events {
		if err := json.Unmarshal([]byte(e.Event), &events[i]); err != nil {
			return nil, errs.Wrap(err, errs.Internal, "event %s of document %s cannot be read", e.ID, d.ID)
		}
	}
	return events, nil
}

// move moves the events of the first documents that have some, and returns their number. The caller holds the lock.
func (m *Mongo) move(ctx context.Context, c *mongo.Collection) (int, error) {
	docs, err := withEvents(ctx, c) // again: another process may have moved them
	if err != nil || len(docs) == 0 {
		return 0, err
	}
	var events []event.Event
	for _, d := range docs {
		decoded, err := d.decodeEvents()
		if err != nil {
			return 0, err
		}
		events = append(events, decoded...)
	}
	if err := outbox.Append(ctx, m.o.Outbox, events...); err != nil {
		return 0, err
	}
	m.o.Wake()
	if err := failpoint.Hit(ctx, FailAfterMoved); err != nil {
		return 0, err
	}
	for _, d := range docs {
		if err := forget(ctx, c, d); err != nil {
			return 0, err
		}
	}
	return len(docs), nil
}

// forget removes events from a document, and the document if it is deleted and has no other events.
func forget(ctx context.Context, c *mongo.Collection, d mongoDoc) error {
	ids := make([]string, len(d.Events))
	for i, e := range d.Events {
		ids[i] = e.ID
	}
	r, err := c.DeleteOne(ctx, bson.M{
		"_id":    d.ID,
		"doc":    bson.M{"$exists": false},
		"events": bson.M{"$size": len(ids)},
		eventIDs: bson.M{"$all": ids},
	})
	if err != nil || r.DeletedCount > 0 {
		return mongoErr(err)
	}
	_, err = c.UpdateOne(ctx, bson.M{"_id": d.ID}, bson.M{"$pullAll": bson.M{"events": d.Events}})
	return mongoErr(err)
}

const lockMove = "document.move" // hashed into the key of the advisory lock

// locked calls f while no other process moves events. If one does, it calls nothing. Events must not be read before,
// and appended after, another process removes them: an older event would follow a younger one. The lock belongs to a
// transaction that does nothing else, so that what f commits is visible before it ends.
func (m *Mongo) locked(ctx context.Context, f func() error) error {
	return postgres.InTx(ctx, m.o.Outbox, func(tx pgx.Tx) error {
		var held bool
		err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock(hashtextextended($1, 9))`, lockMove).Scan(&held)
		if err != nil || !held {
			return postgres.Err(err)
		}
		return f()
	})
}
