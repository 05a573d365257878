package domain

import (
	"time"
	_ "time/tzdata" // so that time zones do not depend on the host
)

// Preferences say what a recipient wants to know, and how.
type Preferences struct {
	// Owner is a user, or a mailbox whose address was typed in (see Recipient.Mailbox).
	Owner string
	// Kinds holds the choices that differ from the defaults.
	Kinds map[Kind]map[Channel]bool
	Quiet QuietHours
}

// Wants reports whether the recipient wants notices of a kind on a channel.
func (p Preferences) Wants(k Kind, c Channel) bool {
	if c == Email && k.Rule().Required {
		return true
	}
	if wanted, chosen := p.Kinds[k][c]; chosen {
		return wanted
	}
	return c != SMS
}

// Wait returns how long a delivery waits because of quiet hours: a mail that can be
// switched off, an SMS and a push message wait.
func (p Preferences) Wait(k Kind, c Channel, now time.Time) time.Duration {
	if c == Inbox || c == Email && k.Rule().Required {
		return 0
	}
	return p.Quiet.Left(now)
}

// QuietHours is a time of the day. All fields are empty if it is unset.
type QuietHours struct {
	// From and To are such as "22:00". To is on the next day if it is not after From.
	From, To string
	// TimeZone is an IANA time zone.
	TimeZone string
}

// Left returns how long the quiet hours last from now on; 0 if it is not their time.
func (q QuietHours) Left(now time.Time) time.Duration {
	zone, err := time.LoadLocation(q.TimeZone)
	if err != nil || q.From == "" {
		return 0
	}
	now = now.In(zone)
	clock := now.Format("15:04")
	inside := q.From <= clock && clock < q.To
	if q.To <= q.From {
		inside = q.From <= clock || clock < q.To
	}
	if !inside {
		return 0
	}
	to, err := time.Parse("15:04", q.To)
	if err != nil {
		return 0
	}
	day := now.Day()
	if q.To <= clock {
		day++
	}
	// Date normalizes times that a change of the clocks skips.
	return time.Date(now.Year(), now.Month(), day, to.Hour(), to.Minute(), 0, 0, zone).Sub(now)
}
