package domain

// Finding is the outcome of one check: Count rows were looked at, Wrong of them break the rule.
type Finding struct {
	Check string
	Count int64
	Wrong int64
	// Example names one that is wrong.
	Example string
}
