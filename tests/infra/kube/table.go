package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readmeFile is the chart's README. The table of values is between two marks.
const (
	readmeFile = "infra/helm/souk/README.md"
	tableBegin = "<!-- values: written by infra/helm/render.sh from the comments in values.yaml -->\n"
	tableEnd   = "<!-- values end -->"
)

func readme(root string) ([]byte, error) {
	old, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(root, "infra", "helm", "souk", "values.yaml"))
	if err != nil {
		return nil, err
	}
	table, err := Table(raw)
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(old), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s: the marks around the table of values are missing", readmeFile)
	}
	return []byte(before + tableBegin + "\n" + table + "\n" + tableEnd + after), nil
}

// Table returns the values with their defaults and comments. A value without a comment is an error, unless the comment
// of what it is part of describes all of it.
func Table(values []byte) (string, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(values, &root); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| value | default | what it is |\n| --- | --- | --- |\n")
	var missing []string
	var walk func(prefix string, node *yaml.Node) error
	walk = func(prefix string, node *yaml.Node) error {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			name, comment := prefix+key.Value, comment(key)
			parts := value.Kind == yaml.MappingNode && commented(value)
			if comment == "" && !parts {
				missing = append(missing, name)
				continue
			}
			if comment != "" {
				shown := ""
				if !parts {
					text, err := inline(value)
					if err != nil {
						return err
					}
					shown = "`" + text + "`"
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, shown, strings.ReplaceAll(comment, "|", `\|`))
			}
			if parts {
				if err := walk(name+".", value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk("", root.Content[0]); err != nil {
		return "", err
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("values.yaml: no comment says what these are: %s", strings.Join(missing, ", "))
	}
	return b.String(), nil
}

// comment returns the comment above a key as one line.
func comment(key *yaml.Node) string {
	var lines []string
	for line := range strings.Lines(key.HeadComment) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(lines, " "))
}

// commented reports whether a key below node has a comment.
func commented(node *yaml.Node) bool {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 && comment(child) != "" || commented(child) {
			return true
		}
	}
	return false
}

// inline returns a value as JSON on one line.
func inline(node *yaml.Node) (string, error) {
	var value any
	if err := node.Decode(&value); err != nil {
		return "", err
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "|", `\|`), err
}
