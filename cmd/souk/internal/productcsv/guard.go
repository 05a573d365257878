package productcsv

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Guard returns the cell as it is written to a file that a person may open in a spreadsheet: with an apostrophe in
// front if the spreadsheet would run it as a formula. The Reader takes off one apostrophe, so every cell comes back
// unchanged, including one that has apostrophes of its own.
func Guard(cell string) string {
	if isFormula(cell) {
		return "'" + cell
	}
	return cell
}

// Unguard undoes Guard.
func Unguard(cell string) string {
	if strings.HasPrefix(cell, "'") && isFormula(cell) {
		return cell[1:]
	}
	return cell
}

// isFormula reports whether a spreadsheet may run the cell. Apostrophes at the start do not change the answer: this
// makes Guard and Unguard inverse to each other. Blanks and invisible characters don't either, because some
// spreadsheets drop them. A tab or line break at the start is reported for the same reason.
func isFormula(cell string) bool {
	cell = strings.TrimLeft(cell, "'")
	if cell == "" {
		return false
	}
	if strings.IndexByte("\t\r\n", cell[0]) >= 0 {
		return true
	}
	first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(cell, func(r rune) bool {
		return r == '\'' || unicode.In(r, unicode.White_Space, unicode.Cc, unicode.Cf)
	}))
	return strings.ContainsRune("=+-@＝＋－＠", first) //nolint:gosmopolitan // full-width forms run in some spreadsheets
}
