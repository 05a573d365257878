package domain

import "crypto/rand"

// crockford is base 32 without the letters that people mistake for digits or for each other.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// numberLength is the number of random characters: 40 bits.
const numberLength = 8

// NewNumber returns a random order number, such as "K7QF-3M9X-2". The last character is a checksum that catches
// mistyped and swapped characters. Uniqueness is enforced by the database, not here.
func NewNumber() string {
	var b [numberLength]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error
	out := make([]byte, 0, numberLength+3)
	for i, c := range b {
		if i == numberLength/2 {
			out = append(out, '-')
		}
		out = append(out, crockford[c&31])
	}
	return string(append(out, '-', check(out)))
}

// ValidNumber reports whether s has the form and the checksum of an order number.
func ValidNumber(s string) bool {
	if len(s) != numberLength+3 || s[numberLength/2] != '-' || s[numberLength+1] != '-' {
		return false
	}
	for i := range s {
		if s[i] != '-' && index(s[i]) < 0 {
			return false
		}
	}
	return check([]byte(s[:numberLength+1])) == s[len(s)-1]
}

// check returns the checksum character. Each character is weighted by an odd number that differs from its
// neighbours' weights, which detects every single change, and every swap of neighbours whose values are not
// 16 apart.
func check(number []byte) byte {
	sum, weight := 0, 1
	for _, c := range number {
		if c == '-' {
			continue
		}
		sum += index(c) * weight
		weight += 2
	}
	return crockford[sum%len(crockford)]
}

func index(c byte) int {
	for i := range len(crockford) {
		if crockford[i] == c {
			return i
		}
	}
	return -1
}
