package comment

import (
	"souk/apps/comment/internal/comment"
	"souk/pkg/errs"
)

// maxWords is the most words that hold a review.
const maxWords = 10_000

// Config is the comment service's configuration, section "comment": the rules that hold a review until an operator has
// decided.
type Config struct {
	// HoldLinks holds reviews with a web address. Default true.
	HoldLinks bool `yaml:"hold_links"`
	// HoldRepeatedFrom is the number of characters from which a text holds a review if its author has used it in a
	// review of another product. Default 20; 0: never.
	HoldRepeatedFrom int `yaml:"hold_repeated_from"`
	// HoldWords are words and phrases that hold a review, whatever their case, at most 10,000. Default none.
	HoldWords []string `yaml:"hold_words"`
	// HoldReports is the number of reports that hold a review, at most 50. Default 5; 0: none do.
	HoldReports int `yaml:"hold_reports"`
}

// Default returns the default configuration.
func Default() Config { return Config{HoldLinks: true, HoldRepeatedFrom: 20, HoldReports: 5} }

// Validate checks the configuration.
//
// Errors: invalid_argument.
func (c *Config) Validate() error {
	switch {
	case c.HoldRepeatedFrom < 0:
		return errs.InvalidField("hold_repeated_from", "must not be negative")
	case c.HoldReports < 0 || c.HoldReports > comment.MaxReports:
		return errs.InvalidField("hold_reports", "must be from 0 to %d", comment.MaxReports)
	case len(c.HoldWords) > maxWords:
		return errs.InvalidField("hold_words", "must be at most %d", maxWords)
	}
	return nil
}
