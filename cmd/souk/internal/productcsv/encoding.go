package productcsv

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	utf8Text    = "UTF-8"
	utf16Text   = "UTF-16"
	windowsText = "Windows-1252"
)

// peeked is how much of a file's beginning is looked at.
const peeked = 64 << 10

// scan reports whether the whole file is Windows-1252. known is false if the file can't be read twice.
func scan(file io.Reader) (windows, known bool, err error) {
	seeker, ok := file.(io.Seeker)
	if !ok {
		return false, false, nil
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, false, nil //nolint:nilerr // a pipe, for example
	}
	if windows, err = isWindows(file); err != nil {
		return false, false, err
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return windows, true, err
}

// decode returns a reader of the text as UTF-8, without a byte order mark, and the name of its encoding. Windows-1252
// is not recognised. What is not valid UTF-16 becomes U+FFFD.
func decode(r io.Reader) (*bufio.Reader, string, error) {
	raw := bufio.NewReaderSize(r, peeked)
	start, err := raw.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		_, err := raw.Discard(3)
		return raw, utf8Text, err
	case len(start) < 2:
		return raw, utf8Text, nil
	case start[0] == 0xff && start[1] == 0xfe, start[0] != 0 && start[1] == 0:
		return decoded(raw, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)), utf16Text, nil
	case start[0] == 0xfe && start[1] == 0xff, start[0] == 0 && start[1] != 0:
		return decoded(raw, unicode.UTF16(unicode.BigEndian, unicode.UseBOM)), utf16Text, nil
	}
	return raw, utf8Text, nil
}

func decoded(r io.Reader, e encoding.Encoding) *bufio.Reader {
	return bufio.NewReaderSize(transform.NewReader(r, e.NewDecoder()), peeked)
}

// isWindows reports whether text without a byte order mark is Windows-1252, not UTF-8: it has bytes that are not UTF-8,
// and no line that has characters of several bytes is UTF-8. Such a line is hardly ever Windows-1252 by chance,
// although some bytes of a line may be. In case of doubt rows are rejected, not garbled. It reads until it is clear, at
// most to the end.
func isWindows(r io.Reader) (bool, error) {
	in := bufio.NewReaderSize(r, peeked)
	windows, valid, invalid := false, false, false // the last two are of the line
	for {
		c, size, err := in.ReadRune()
		end := errors.Is(err, io.EOF)
		switch {
		case err != nil && !end:
			return false, err
		case end, c == '\n', c == '\r':
			if valid && !invalid {
				return false, nil
			}
			windows, valid, invalid = windows || invalid, false, false
			if end {
				return windows, nil
			}
		case c == utf8.RuneError && size == 1:
			invalid = true
		case size > 1:
			valid = true
		}
	}
}

// separatorNames are the separators that a file may have, by their names.
var separatorNames = map[byte]string{',': "comma", ';': "semicolon", '\t': "tab", '|': "vertical bar"}

// findLineEnd returns the last character of a line: a line feed or, if the beginning of the file has only them, a
// carriage return. Those within quotes do not count.
func findLineEnd(start []byte) byte {
	quoted, end := false, byte('\n')
	for _, c := range start {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			return '\n'
		case c == '\r':
			end = '\r'
		}
	}
	return end
}

// findSeparator returns the separator of the header: the one that makes the most of these columns of it. A first line
// such as "sep=;", which spreadsheets write, names it and is no header; skip is its length.
func findSeparator(start []byte, lineEnd byte, columns []string) (separator byte, skip int) {
	line, _, _ := bytes.Cut(start, []byte{lineEnd})
	text := content(line)
	if name, ok := bytes.CutPrefix(bytes.ToLower(text), []byte("sep=")); ok && len(name) == 1 {
		if _, known := separatorNames[name[0]]; known {
			return name[0], min(len(line)+1, len(start))
		}
	}
	most := 0
	separator = ','
	for _, candidate := range []byte(",;\t|") {
		fields, _ := split(text, candidate)
		found := 0
		for _, name := range columns {
			if slices.ContainsFunc(
				fields,
				func(f string) bool { return name != "" && columnKey(f) == columnKey(name) },
			) {
				found++
			}
		}
		if found > most {
			separator, most = candidate, found
		}
	}
	return separator, 0
}

// decimalPoint returns a number with a decimal comma ("1.299,90") with a point instead. Only a file that is separated
// by semicolons may have decimal commas; elsewhere a comma may as well separate thousands.
func (r *Reader) decimalPoint(s string) string {
	whole, fraction, comma := strings.Cut(s, ",")
	if !comma || r.records.separator != ';' || strings.ContainsAny(fraction, ".,") {
		return s
	}
	groups := strings.Split(whole, ".")
	for _, g := range groups[1:] {
		if len(g) != 3 {
			return s
		}
	}
	return strings.Join(groups, "") + "." + fraction
}
