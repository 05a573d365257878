package domain

// Finding is the outcome of one check: Count rows were examined, and Wrong of them break the rule.
type Finding struct {
	Check string
	Count int64
	Wrong int64
	// Example is the ID of a row that breaks the rule; "" if Wrong is 0.
	Example string
}
