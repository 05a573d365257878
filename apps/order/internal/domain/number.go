package domain

import "crypto/rand"

// crockford is base 32 without letters that people mistake for digits or for each other.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// numberLength is how many of a number's characters are random: 40 bits.
const numberLength = 8

// NewNumber makes an order's number, such as "K7QF-3M9X-2": random, with a character at the end that
// catches a mistyped or swapped one. It is unique only because the database says so.
func NewNumber() string {
	var b [numberLength]byte
	_, _ = rand.Read(b[:]) // never fails
	out := make([]byte, 0, numberLength+3)
	for i, c := range b {
		if i == numberLength/2 {
			out = append(out, '-')
		}
		out = append(out, crockford[c&31])
	}
	return string(append(out, '-', check(out)))
}

// ValidNumber reports whether s could be an order's number.
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

// check weighs each character by an odd number that differs from its neighbours': changing one always
// shows, and so does swapping two next to each other, unless they are 16 apart.
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
