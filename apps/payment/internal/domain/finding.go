package domain

// Finding is the result of one check: of Count rows checked, Wrong break the rule.
type Finding struct {
	Check string
	Count int64
	Wrong int64
	// Example is the ID of one wrong row.
	Example string
}
