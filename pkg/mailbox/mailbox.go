// Package mailbox identifies mailboxes, so that what concerns one can be counted without storing its address.
package mailbox

import (
	"crypto/sha256"
	"strings"
)

// Digest returns a digest of the mailbox of an e-mail address. Spellings of one mailbox have the same digest: case,
// what follows a plus sign, and dots at Gmail. Different kinds of mailboxes have different digests.
func Digest(kind, address string) []byte {
	local, host, _ := strings.Cut(strings.ToLower(address), "@")
	local, _, _ = strings.Cut(local, "+")
	if host == "gmail.com" || host == "googlemail.com" {
		local, host = strings.ReplaceAll(local, ".", ""), "gmail.com"
	}
	sum := sha256.Sum256([]byte(kind + " " + local + "@" + host))
	return sum[:]
}
