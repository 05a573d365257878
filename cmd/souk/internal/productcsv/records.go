package productcsv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	maxRecord = 2 << 20 // a record beyond this is no product's
	shownRaw  = 1 << 10 // how much is shown of a line that can't be read
)

// records splits a file into records as RFC 4180 has them, one at a time, and goes on behind what is
// malformed. Package encoding/csv won't do: a quote that is never closed makes it read the rest of the
// file into memory and lose it, and it changes line breaks within fields.
type records struct {
	in *bufio.Reader
	// again is what was read and is to be read once more: whole lines, but for the file's last.
	again []byte
	// cut: the line behind again was too long and is gone.
	cut  bool
	line int // of the line that is read next
}

// record is what stands between two ends of lines that are not quoted.
type record struct {
	line   int
	fields []string
	size   int
	// bad is why it is none; fields then holds what can be shown of it.
	bad string
}

// next returns the next record that is not an empty line, or io.EOF.
func (s *records) next() (record, error) {
	for {
		first := s.line
		raw, cut, err := s.readLine()
		if err != nil {
			return record{}, err
		}
		if cut {
			return malformed(first, raw, fmt.Sprintf("is longer than %d bytes", maxRecord)), nil
		}
		if len(content(raw)) == 0 {
			continue
		}
		firstEnd := len(raw)
		for open := quoteOpen(raw, false); open; {
			more, cut, err := s.readLine()
			if err != nil && !errors.Is(err, io.EOF) {
				return record{}, err
			}
			if err != nil || cut || len(raw)+len(more) > maxRecord {
				// The quote of the first line swallows what follows: only that line is lost.
				if !cut {
					raw = append(raw, more...)
				}
				s.giveBack(raw[firstEnd:], cut)
				s.line = first + 1
				return malformed(first, raw[:firstEnd], "not CSV: a quote is opened and not closed"), nil
			}
			open = quoteOpen(more, true)
			raw = append(raw, more...)
		}
		fields, reason := split(content(raw))
		if reason != "" {
			return malformed(first, raw, "not CSV: "+reason), nil
		}
		return record{line: first, fields: fields, size: len(raw)}, nil
	}
}

// readLine returns the next line with its end, in memory of its own. Of one that is too long (cut) it
// returns the beginning.
func (s *records) readLine() (line []byte, cut bool, err error) {
	if len(s.again) > 0 {
		end := bytes.IndexByte(s.again, '\n') + 1
		if end == 0 {
			end = len(s.again)
		}
		line, s.again = bytes.Clone(s.again[:end]), s.again[end:]
		s.line++
		return line, false, nil
	}
	s.again = nil
	if s.cut {
		s.cut = false
		s.line++
		return nil, true, nil
	}
	for {
		part, err := s.in.ReadSlice('\n')
		if len(line)+len(part) <= maxRecord {
			line = append(line, part...)
		} else {
			cut = true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(line) > 0 || cut):
		case err != nil:
			return nil, false, err
		}
		s.line++
		return line, cut, nil
	}
}

func (s *records) giveBack(raw []byte, cut bool) {
	s.again = append(bytes.Clone(raw), s.again...)
	s.cut = s.cut || cut
}

func malformed(line int, raw []byte, reason string) record {
	shown := content(raw)
	return record{line: line, fields: []string{string(shown[:min(len(shown), shownRaw)])}, bad: reason}
}

// content is a line without its end.
func content(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// quoteOpen reports whether a quoted field goes on behind the line, when one does (open) or doesn't at its beginning.
func quoteOpen(line []byte, open bool) bool {
	rest := content(line)
	for {
		if !open {
			if len(rest) == 0 || rest[0] != '"' {
				comma := bytes.IndexByte(rest, ',')
				if comma < 0 {
					return false
				}
				rest = rest[comma+1:]
				continue
			}
			rest = rest[1:]
		}
		quote := bytes.IndexByte(rest, '"')
		if quote < 0 {
			return true
		}
		rest = rest[quote+1:]
		switch {
		case len(rest) == 0:
			return false
		case rest[0] == '"':
			rest, open = rest[1:], true
		case rest[0] == ',':
			rest, open = rest[1:], false
		default: // malformed: the record ends with this line, and split says why
			return false
		}
	}
}

// split returns the fields of a record, or why it has none.
func split(rest []byte) (fields []string, reason string) {
	for {
		if len(rest) == 0 || rest[0] != '"' {
			field, behind, more := bytes.Cut(rest, []byte(","))
			if bytes.IndexByte(field, '"') >= 0 {
				return nil, "a quote stands in a field that does not begin with one"
			}
			fields = append(fields, string(field))
			if !more {
				return fields, ""
			}
			rest = behind
			continue
		}
		var field []byte
		for rest = rest[1:]; ; rest = rest[1:] {
			quote := bytes.IndexByte(rest, '"')
			if quote < 0 {
				return nil, "a quote is opened and not closed"
			}
			field = append(field, rest[:quote]...)
			if rest = rest[quote+1:]; len(rest) == 0 || rest[0] != '"' {
				break
			}
			field = append(field, '"')
		}
		fields = append(fields, string(field))
		switch {
		case len(rest) == 0:
			return fields, ""
		case rest[0] != ',':
			return nil, "a closing quote is not followed by a comma"
		}
		rest = rest[1:]
	}
}
