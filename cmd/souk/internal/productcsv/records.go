package productcsv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	maxRecord = 2 << 20 // bytes of a record, at most
	shownRaw  = 1 << 10 // how many bytes are shown of a malformed line
)

// records splits a file into records of RFC 4180, one at a time. After a malformed record it continues with the next
// line. Package encoding/csv is not suitable: at a quote that is never closed it reads the rest of the file into
// memory and loses it, and it changes line breaks within fields.
type records struct {
	in        *bufio.Reader
	separator byte // of fields
	lineEnd   byte
	// unread holds lines that were read and are to be read again. Only the file's last line may lack its end.
	unread []byte
	// cut reports whether the line after unread was too long and is lost.
	cut  bool
	line int // number of the next line
}

// record is the content between two line ends that are not quoted.
type record struct {
	line   int
	fields []string
	size   int
	// bad says why the record is malformed; "" if it is not. A malformed record's field is the text to show.
	bad string
}

// next returns the next record and skips empty lines. At the end it returns io.EOF.
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
		for open := quoteOpen(raw, s.separator, false); open; {
			more, cut, err := s.readLine()
			if err != nil && !errors.Is(err, io.EOF) {
				return record{}, err
			}
			if err != nil || cut || len(raw)+len(more) > maxRecord {
				// The first line's quote is not closed. Only that line is lost; the following ones are read again.
				if !cut {
					raw = append(raw, more...)
				}
				s.giveBack(raw[firstEnd:], cut)
				s.line = first + 1
				return malformed(first, raw[:firstEnd], "not CSV: a quote is opened and not closed"), nil
			}
			open = quoteOpen(more, s.separator, true)
			raw = append(raw, more...)
		}
		fields, reason := split(content(raw), s.separator)
		if reason != "" {
			return malformed(first, raw, "not CSV: "+reason), nil
		}
		return record{line: first, fields: fields, size: len(raw)}, nil
	}
}

// readLine returns the next line with its end. The caller owns the memory. If the line is too long, cut is true and
// line holds only a part of it.
func (s *records) readLine() (line []byte, cut bool, err error) {
	if len(s.unread) > 0 {
		end := bytes.IndexByte(s.unread, s.lineEnd) + 1
		if end == 0 {
			end = len(s.unread)
		}
		line, s.unread = bytes.Clone(s.unread[:end]), s.unread[end:]
		s.line++
		return line, false, nil
	}
	s.unread = nil
	if s.cut {
		s.cut = false
		s.line++
		return nil, true, nil
	}
	for {
		part, err := s.in.ReadSlice(s.lineEnd)
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
	s.unread = append(bytes.Clone(raw), s.unread...)
	s.cut = s.cut || cut
}

func malformed(line int, raw []byte, reason string) record {
	shown := content(raw)
	return record{line: line, fields: []string{string(shown[:min(len(shown), shownRaw)])}, bad: reason}
}

// content returns a line without its end.
func content(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// quoteOpen reports whether a quoted field continues after the line. Open says whether one continues into the line.
func quoteOpen(line []byte, separator byte, open bool) bool {
	rest := content(line)
	for {
		if !open {
			if len(rest) == 0 || rest[0] != '"' {
				end := bytes.IndexByte(rest, separator)
				if end < 0 {
					return false
				}
				rest = rest[end+1:]
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
		case rest[0] == separator:
			rest, open = rest[1:], false
		default: // malformed: the record ends with this line, and split returns the reason
			return false
		}
	}
}

// split returns the fields of a record, or the reason why it is malformed.
func split(rest []byte, separator byte) (fields []string, reason string) {
	for {
		if len(rest) == 0 || rest[0] != '"' {
			field, behind, more := bytes.Cut(rest, []byte{separator})
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
		case rest[0] != separator:
			return nil, "a closing quote is not followed by a " + separatorNames[separator]
		}
		rest = rest[1:]
	}
}
