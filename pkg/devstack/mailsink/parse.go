package mailsink

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

var words = &mime.WordDecoder{CharsetReader: toUTF8}

// maxDepth bounds multiparts within multiparts.
const maxDepth = 10

// parse parses a message as far as possible. If it is not a valid mail, all of it becomes the text, for a
// developer to see.
func parse(raw []byte) Message {
	m := Message{Headers: map[string][]string{}}
	mm, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.Text = string(raw)
		return m
	}
	for name, values := range mm.Header {
		for _, v := range values {
			m.Headers[name] = append(m.Headers[name], decoded(v))
		}
	}
	m.Subject = decoded(mm.Header.Get("Subject"))
	m.MessageID = strings.Trim(mm.Header.Get("Message-Id"), "<> ")
	if from, err := (&mail.AddressParser{WordDecoder: words}).Parse(mm.Header.Get("From")); err == nil {
		m.From = from.Address
	}
	if date, err := mm.Header.Date(); err == nil {
		m.Date = date.UTC()
	}
	m.part(textproto.MIMEHeader(mm.Header), mm.Body, 0)
	return m
}

func (m *Message) part(header textproto.MIMEHeader, body io.Reader, depth int) {
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		mediaType = "text/plain" // RFC 2045's default
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		if depth < maxDepth {
			m.parts(multipart.NewReader(body, params["boundary"]), depth)
		}
		return
	}
	if disposition, _, _ := mime.ParseMediaType(header.Get("Content-Disposition")); disposition == "attachment" {
		return
	}
	switch {
	case mediaType == "text/html" && m.HTML == "":
		m.HTML = content(header, body, params["charset"])
	case mediaType == "text/plain" && m.Text == "":
		m.Text = content(header, body, params["charset"])
	}
}

func (m *Message) parts(r *multipart.Reader, depth int) {
	for {
		p, err := r.NextRawPart() // raw, since content decodes it
		if err != nil {
			return
		}
		m.part(p.Header, p, depth+1)
	}
}

// content decodes as much of a body as is well-formed.
func content(header textproto.MIMEHeader, body io.Reader, charset string) string {
	switch strings.ToLower(strings.TrimSpace(header.Get("Content-Transfer-Encoding"))) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	if r, err := toUTF8(charset, body); err == nil {
		body = r
	}
	b, _ := io.ReadAll(body) // text before a decoding error is still worth showing
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\r\n", "\n")
}

func toUTF8(charset string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "us-ascii":
		return r, nil
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return e.NewDecoder().Reader(r), nil
}

func decoded(s string) string {
	if d, err := words.DecodeHeader(s); err == nil {
		return d
	}
	return s
}
