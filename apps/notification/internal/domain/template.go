package domain

import "time"

// Text is what a notice says on a channel: a template, or filled in.
type Text struct {
	// Subject is one line: of a mail, or the title of a notification.
	Subject string
	// Body has paragraphs between blank lines.
	Body string
}

// Template is a version of a text that an operator wrote.
type Template struct {
	Kind    Kind
	Channel Channel
	Locale  string
	// Version counts from 1. The greatest one is used.
	Version int32
	Text
	// Author is the operator who wrote it.
	Author    string
	CreatedAt time.Time
}
