package domain

import "time"

// Notification is an entry of a user's inbox.
type Notification struct {
	ID, UserID string
	Kind       Kind
	// Title is one line, and Body some sentences of plain text.
	Title, Body string
	// Link is the path of what it is about.
	Link      string
	CreatedAt time.Time
	ReadAt    *time.Time
}

// Logged is a delivery as the log shows it.
type Logged struct {
	ID        string
	Kind      Kind
	About     string
	Channel   Channel
	Recipient string
	State     State
	Attempts  int32
	Reason    string
	CreatedAt time.Time
	EndedAt   *time.Time
}
