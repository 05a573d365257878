// Package markup handles HTML that people outside of souk wrote, such as the descriptions of products: it takes the
// text out of it, and makes it safe to show.
package markup

import (
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// policy allows what formats a text, links and pictures. It allows no scripts, styles, forms, frames and handlers of
// events.
var policy = bluemonday.UGCPolicy()

// Sanitize returns an HTML fragment with only the elements and attributes that are safe to show in a page. A fragment
// without markup and entities is returned unchanged.
func Sanitize(fragment string) string {
	if !strings.ContainsAny(fragment, "<>&") {
		return fragment
	}
	return policy.Sanitize(fragment)
}

// hidden are the elements whose content is no text.
var hidden = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Template: true, atom.Noscript: true, atom.Iframe: true,
	atom.Object: true, atom.Svg: true, atom.Head: true,
}

// inline are the elements that may begin or end within a word.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.Abbr: true, atom.B: true, atom.Bdi: true, atom.Bdo: true, atom.Big: true, atom.Cite: true,
	atom.Code: true, atom.Data: true, atom.Del: true, atom.Dfn: true, atom.Em: true, atom.Font: true, atom.I: true,
	atom.Ins: true, atom.Kbd: true, atom.Mark: true, atom.Q: true, atom.S: true, atom.Samp: true, atom.Small: true,
	atom.Span: true, atom.Strike: true, atom.Strong: true, atom.Sub: true, atom.Sup: true, atom.Time: true,
	atom.Tt: true, atom.U: true, atom.Var: true, atom.Wbr: true,
}

// Text returns the text of an HTML fragment as a reader sees it: without tags, attributes, comments, scripts and
// styles, and with its entities decoded. A space stands where an element breaks the line.
func Text(fragment string) string {
	if !strings.ContainsAny(fragment, "<&") {
		return fragment
	}
	var text strings.Builder
	var within atom.Atom // the hidden element that is open
	depth := 0           // how many elements of its name are open
	tokens := html.NewTokenizer(strings.NewReader(fragment))
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken { // the end of the fragment
			return text.String()
		}
		token := tokens.Token()
		switch {
		case depth > 0 && token.DataAtom != within:
		case kind == html.TextToken:
			text.WriteString(token.Data)
		case kind == html.StartTagToken && hidden[token.DataAtom]:
			within = token.DataAtom
			depth++
		case kind == html.EndTagToken && depth > 0:
			depth--
		case kind != html.CommentToken && !inline[token.DataAtom]:
			text.WriteByte(' ')
		}
	}
}
