package comment

import (
	"souk/apps/comment/internal/comment"
	"souk/pkg/setting"
)

// Config is the comment service's configuration, section "comment": the rules that hold a review until an operator has
// decided. They are the defaults of system settings.
type Config struct {
	// HoldLinks holds reviews with a web address. Default true.
	HoldLinks bool `yaml:"hold_links"`
	// HoldRepeatedFrom is the number of characters from which a text holds a review if its author has used it in a
	// review of another product. Default 20; 0: never.
	HoldRepeatedFrom int `yaml:"hold_repeated_from"`
	// HoldWords are words and phrases that hold a review, whatever their case: at most 10,000 of at most 100
	// characters, and 64 KiB together. Default none.
	HoldWords []string `yaml:"hold_words"`
	// HoldReports is the number of reports that hold a review, at most 50. Default 5; 0: none do.
	HoldReports int `yaml:"hold_reports"`
}

// Default returns the default configuration.
func Default() Config { return Config{HoldLinks: true, HoldRepeatedFrom: 20, HoldReports: 5} }

// Validate returns all problems of the configuration, joined.
func (c Config) Validate() error { return c.settings().Check() }

// settings returns the system settings that the configuration has. They apply until an operator sets others.
func (c Config) settings() setting.Values {
	v := setting.Values{}
	setting.CommentHoldLinks.Put(v, c.HoldLinks)
	setting.CommentHoldRepeatedFrom.Put(v, int64(c.HoldRepeatedFrom))
	setting.CommentHoldWords.Put(v, c.HoldWords)
	setting.CommentHoldReports.Put(v, int64(c.HoldReports))
	return v
}

// rules returns the rules that the system settings set.
func rules(v setting.Values) comment.Rules {
	return comment.NewRules(setting.CommentHoldLinks.Of(v), int(setting.CommentHoldRepeatedFrom.Of(v)),
		setting.CommentHoldWords.Of(v), int(setting.CommentHoldReports.Of(v)))
}
