// Command gen writes what is regular in infra/observability: the rules of the objectives, and Grafana's dashboards.
// With -check it writes nothing and fails if a file differs.
//
//	go run ./infra/observability/gen
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	check := flag.Bool("check", false, "fail if a file is not what it would be")
	dir := flag.String("dir", "infra/observability", "the folder to write to")
	flag.Parse()
	if err := run(*dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	files := map[string][]byte{"prometheus/rules/slo.yaml": []byte(objectiveRules())}
	for _, d := range dashboards() {
		text, err := d.json()
		if err != nil {
			return err
		}
		files["grafana/dashboards/"+d.uid+".json"] = text
	}
	known, err := filepath.Glob(filepath.Join(dir, "grafana/dashboards/*.json"))
	if err != nil {
		return err
	}
	for _, path := range known {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, ok := files[filepath.ToSlash(name)]; !ok {
			return fmt.Errorf("%s is not generated: delete it", path)
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		old, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(old, text):
			continue
		case check:
			return fmt.Errorf("%s is out of date: go run ./infra/observability/gen", path)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // for everyone to read
			return err
		}
	}
	fmt.Printf("%d files of %s are up to date\n", len(files), dir)
	return nil
}

// marshal returns indented JSON that keeps < and > as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
