package middleware

// hasCardNumber reports whether b holds what looks like a payment card's number: 14 to 19 digits with
// at most one space or dash between two of them, not part of a longer word, with an issuer's
// beginning (ISO/IEC 7812 ranges of the large networks) and length, that pass the Luhn check.
// Narrow on purpose: a barcode or a long identifier must not be refused.
func hasCardNumber(b []byte) bool {
	var digits [20]byte
	for i := 0; i < len(b); i++ {
		if b[i] < '0' || b[i] > '9' {
			continue
		}
		if i > 0 && wordByte(b[i-1]) {
			i = endOfWord(b, i) - 1
			continue
		}
		n, end := 0, i
		for j := i; j < len(b); j++ {
			c := b[j]
			if c >= '0' && c <= '9' {
				if n == len(digits) {
					break
				}
				digits[n] = c - '0'
				n++
				end = j + 1
				continue
			}
			if (c == ' ' || c == '-') && j+1 < len(b) && b[j+1] >= '0' && b[j+1] <= '9' {
				if isCard(digits[:n]) { // what follows is an expiry date, say
					return true
				}
				continue
			}
			break
		}
		if (end == len(b) || !wordByte(b[end])) && isCard(digits[:min(n, len(digits))]) {
			return true
		}
		// Groups such as "qty 2 4111 1111 …" hide a number behind a short one: go on after this
		// group of digits only.
		for i+1 < end && b[i+1] >= '0' && b[i+1] <= '9' {
			i++
		}
	}
	return false
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func endOfWord(b []byte, i int) int {
	for i < len(b) && wordByte(b[i]) {
		i++
	}
	return i
}

func isCard(d []byte) bool {
	if len(d) < 14 || len(d) > 19 || !issuerOf(d) {
		return false
	}
	sum := 0
	for i := range d {
		v := int(d[len(d)-1-i])
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// issuerOf knows the beginnings and lengths of the large card networks.
func issuerOf(d []byte) bool {
	p2 := int(d[0])*10 + int(d[1])
	p3 := p2*10 + int(d[2])
	p4 := p3*10 + int(d[3])
	switch n := len(d); {
	case d[0] == 4: // Visa
		return n == 16 || n == 19
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720: // Mastercard
		return n == 16
	case p2 == 34, p2 == 37: // American Express
		return n == 15
	case p4 == 6011, p2 == 65, p3 >= 644 && p3 <= 649: // Discover
		return n == 16 || n == 19
	case p4 >= 3528 && p4 <= 3589: // JCB
		return n == 16
	case p2 == 36, p2 == 38, p2 == 39, p3 >= 300 && p3 <= 305: // Diners Club
		return n == 14 || n == 16
	case p2 == 62, p2 == 81: // UnionPay
		return n >= 16
	case p2 == 50, p2 >= 56 && p2 <= 58: // Maestro
		return n == 16 || n == 19
	default:
		return false
	}
}
