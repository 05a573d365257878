package markup_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/markup"
)

func ExampleText() {
	fmt.Println(markup.Text(`<p style="color: red">Fran&ccedil;ais<br>cr&egrave;me</p>`))
	// Output: Français crème
}

func ExampleSanitize() {
	fmt.Println(markup.Sanitize(`<p onclick="steal()">Soft <b>wool</b><script>steal()</script></p>`))
	// Output: <p>Soft <b>wool</b></p>
}

func TestTextIsWhatAReaderSees(t *testing.T) {
	t.Parallel()
	for fragment, want := range map[string]string{
		"":                       "",
		"no markup":              "no markup",
		"3 < 5 and 5 > 3, a & b": "3 < 5 and 5 > 3, a & b",
		`<table border="1"><tr><td>a</td><td>b</td></table>`: "a b",
		"<b>S</b>ale <i>no</i>w":                             "Sale now",
		"one<br/>two<hr>three<li>four<x-y>five":              "one two three four five",
		"a<!-- red -->b<!DOCTYPE html>c":                     "ab c",
		"a<script>var red = '<b>red</b>'</script>b":          "ab",
		"a<style>p{color:red}</style>b":                      "ab",
		"a<svg><style>red</style><text>red</text></svg>b":    "ab",
		"a<object>red<object>red</object>red</object>b":      "ab",
		"a<script>red":               "a",
		"a</script>b":                "a b",
		`<img alt="red" src="red">a`: "a",
		"&eacute;&#233;&#xe9;&eacute&nbsp;&lt;b&gt;": "éééé\u00a0<b>",
		"a <b":       "a",
		"a <b title": "a",
		"A&shy;b":    "A\u00adb",
	} {
		require.Equal(
			t,
			want,
			strings.Join(strings.FieldsFunc(markup.Text(fragment), func(r rune) bool { return r == ' ' }), " "),
			fragment,
		)
	}
}

func TestSanitizedMarkupRunsNothing(t *testing.T) {
	t.Parallel()
	for fragment, want := range map[string]string{
		"it's \"plain\" text": "it's \"plain\" text",
		"<p>a</p><ul><li>b</li></ul><table><tr><td>c</td></tr></table>": "<p>a</p><ul><li>b</li></ul><table><tr><td>c</td></tr></table>",
		`<a href="javascript:steal()">a</a>`:                            "a",
		`<a href="https://example.com">a</a>`:                           `<a href="https://example.com" rel="nofollow">a</a>`,
		`<img src=x onerror=steal()>`:                                   `<img src="x">`,
		`<iframe src="https://example.com"></iframe>a`:                  "a",
		`<form action="https://example.com"><input></form>a`:            "a",
		"<style>p{}</style><p style='position:fixed'>a</p>":             "<p>a</p>",
		"<svg onload=steal()></svg>a":                                   "a",
		"&lt;script&gt;":                                                "&lt;script&gt;",
		"a > b":                                                         "a &gt; b",
	} {
		require.Equal(t, want, markup.Sanitize(fragment), fragment)
	}
}
