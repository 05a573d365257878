package kube

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const plainHead = "# Rendered from infra/helm/souk by infra/helm/render.sh. DO NOT EDIT.\n"

// Plain returns the plain manifests that the chart's own values give, by their path below infra/k8s.
func Plain(root string) (map[string][]byte, error) {
	c, err := Chart(root)
	if err != nil {
		return nil, err
	}
	documents, err := Render(c, map[string]any{"monitoring": map[string]any{"enabled": true}})
	if err != nil {
		return nil, err
	}
	services, err := Services(root)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, s := range services {
		names[s.Name] = true
	}
	files := map[string][]byte{}
	for _, d := range documents {
		var file string
		switch component := d.Component(); {
		case d.Kind() == "PriorityClass":
			file = "base/priorityclass.yaml"
		case names[component]:
			file = "services/" + component + ".yaml"
		case component == "monitoring" || component == "migrate":
			file = map[string]string{"monitoring": "monitoring/souk.yaml", "migrate": "base/migrate.yaml"}[component]
		default:
			file = "base/" + component + ".yaml"
		}
		if files[file] == nil {
			files[file] = []byte(plainHead)
		} else {
			files[file] = append(files[file], "---\n"...)
		}
		files[file] = append(files[file], plain(d)...)
	}
	return files, nil
}

var (
	ofHelm   = regexp.MustCompile(`(?m)^ +("?helm\.sh/[a-z-]+"?|app\.kubernetes\.io/managed-by):.*\n`)
	noValues = regexp.MustCompile(`(?m)^( *)annotations:\n((?:\z)|( *)\S)`)
	metadata = regexp.MustCompile(`(?m)^metadata:\n`)
)

// plain returns a document without what only Helm needs, and with a namespace.
func plain(d Document) []byte {
	raw := ofHelm.ReplaceAll(d.Raw, nil)
	raw = noValues.ReplaceAllFunc(raw, func(match []byte) []byte {
		parts := noValues.FindSubmatch(match)
		if len(parts[3]) > len(parts[1]) {
			return match
		}
		return parts[2]
	})
	if d.Kind() != "PriorityClass" {
		raw = metadata.ReplaceAll(raw, []byte("metadata:\n  namespace: "+Namespace+"\n"))
	}
	raw = bytes.TrimPrefix(raw, []byte("---\n"))
	return append(bytes.TrimRight(raw, "\n"), '\n')
}

// Write writes the generated files: the plain manifests, and the table of values in the chart's README.
func Write(root string) error {
	files, err := Generated(root)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			return err
		}
	}
	stale, err := stale(root, files)
	if err != nil {
		return err
	}
	for _, name := range stale {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// Generated returns all generated files by their path in the repository.
func Generated(root string) (map[string][]byte, error) {
	manifests, err := Plain(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, data := range manifests {
		files[path.Join("infra/k8s", name)] = data
	}
	readme, err := readme(root)
	if err != nil {
		return nil, err
	}
	files[readmeFile] = readme
	return files, nil
}

// Drift returns the generated files that are not up to date.
func Drift(root string) ([]string, error) {
	files, err := Generated(root)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(data, files[name]) {
			out = append(out, fmt.Sprintf("%s is out of date: run infra/helm/render.sh", name))
		}
	}
	stale, err := stale(root, files)
	for _, name := range stale {
		out = append(out, name+" is stale: run infra/helm/render.sh")
	}
	return out, err
}

// stale returns the rendered manifests that the chart no longer gives.
func stale(root string, files map[string][]byte) ([]string, error) {
	var out []string
	for _, dir := range []string{"base", "services", "monitoring"} {
		found, err := filepath.Glob(filepath.Join(root, "infra", "k8s", dir, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			name := path.Join("infra/k8s", dir, filepath.Base(file))
			if files[name] == nil && strings.HasPrefix(string(data), plainHead) {
				out = append(out, name)
			}
		}
	}
	return out, nil
}
