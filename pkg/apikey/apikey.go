// Package apikey makes and recognizes the secrets of API keys.
//
// A secret is "souk_sk_", 30 random characters and a checksum of 6, all of them of 0-9, A-Z and a-z, such as
//
//	souk_sk_q8Jr1kT0cVwYb5nX3mZs7dLhG2pRfA0f3kQx
//
// The prefix lets scanners find secrets that leaked into code or logs. The checksum, a CRC-32 in base 62, distinguishes
// a secret from a guess without any look-up. This is the form of GitHub's tokens:
// https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
//
// 30 characters of 62 are 178 random bits. So a plain SHA-256 is enough to keep: they are too many to try, and a slow
// hash or a salt would protect only secrets that people choose.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

const (
	// Prefix begins every secret.
	Prefix   = "souk_sk_"
	digits   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	random   = 30 // characters
	checksum = 6  // characters
	length   = len(Prefix) + random + checksum
	shown    = len(Prefix) + 6
)

// New returns a new secret.
func New() string {
	body := make([]byte, 0, length)
	body = append(body, Prefix...)
	var b [2 * random]byte
	for len(body) < length-checksum {
		_, _ = rand.Read(b[:]) // never fails
		for _, c := range b {
			// 248 = 4·62: the remainder of a larger byte would favour some digits.
			if c < 248 && len(body) < length-checksum {
				body = append(body, digits[c%62])
			}
		}
	}
	return string(body) + sum(string(body))
}

// Claims reports whether a credential is meant to be the secret of an API key.
func Claims(credential string) bool { return strings.HasPrefix(credential, Prefix) }

// Valid reports whether a credential has the form of a secret, with the right checksum.
func Valid(credential string) bool {
	return len(credential) == length && Claims(credential) &&
		sum(credential[:length-checksum]) == credential[length-checksum:]
}

// Hash returns what is kept of a secret.
func Hash(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Shown returns the beginning of a secret, by which people recognize it.
func Shown(secret string) string { return secret[:min(shown, len(secret))] }

// sum returns the checksum of the beginning of a secret.
func sum(body string) string {
	n := crc32.ChecksumIEEE([]byte(body))
	out := [checksum]byte{}
	for i := checksum - 1; i >= 0; i-- {
		out[i] = digits[n%62]
		n /= 62
	}
	return string(out[:])
}
