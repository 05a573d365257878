package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Names under which the chart is installed.
const (
	Release   = "souk"
	Namespace = "souk"
)

// Environments are those with a values file: values-NAME.yaml.
func Environments() []string { return []string{"dev", "staging", "prod"} }

// Document is one object of a manifest.
type Document struct {
	// Source is the file that it is from.
	Source string
	Raw    []byte
	Object map[string]any
	// typed is the object as Kubernetes' own type, and mistake says why it is none.
	typed   runtime.Object
	mistake error
}

// Kind returns the object's kind.
func (d Document) Kind() string { return text(d.Object, "kind") }

// Name returns the object's name.
func (d Document) Name() string { return text(d.Object, "metadata", "name") }

// Component returns the part of souk to which the object belongs, such as a service.
func (d Document) Component() string {
	return text(d.Object, "metadata", "labels", "app.kubernetes.io/component")
}

func (d Document) String() string { return d.Kind() + " " + d.Name() }

// at returns the value at a path of keys, or nil.
func at(object any, path ...string) any {
	for _, key := range path {
		m, ok := object.(map[string]any)
		if !ok {
			return nil
		}
		object = m[key]
	}
	return object
}

func text(object any, path ...string) string {
	s, _ := at(object, path...).(string)
	return s
}

// Root returns the repository's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "infra", "helm", "souk", "Chart.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no infra/helm/souk above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// Chart loads the chart.
func Chart(root string) (*chart.Chart, error) {
	return loader.LoadDir(filepath.Join(root, "infra", "helm", "souk"))
}

// Values reads values-NAME.yaml. For "" it returns no values: the chart's own apply.
func Values(root, environment string) (map[string]any, error) {
	values := map[string]any{}
	if environment == "" {
		return values, nil
	}
	raw, err := os.ReadFile(filepath.Join(root, "infra", "helm", "souk", "values-"+environment+".yaml"))
	if err != nil {
		return nil, err
	}
	return values, yaml.UnmarshalStrict(raw, &values)
}

// Render returns the documents that the chart gives with these values, by file and then as they stand there. The values
// must fit the chart's schema.
func Render(c *chart.Chart, values map[string]any) ([]Document, error) {
	capabilities := *common.DefaultCapabilities
	all, err := util.ToRenderValues(c, values,
		common.ReleaseOptions{Name: Release, Namespace: Namespace, Revision: 1, IsInstall: true}, &capabilities)
	if err != nil {
		return nil, err
	}
	files, err := (engine.Engine{Strict: true}).Render(c, all)
	if err != nil {
		return nil, err
	}
	var out []Document
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		documents, err := Parse(name, []byte(files[name]))
		if err != nil {
			return nil, err
		}
		out = append(out, documents...)
	}
	return out, nil
}

var emptyLines = regexp.MustCompile(`(?m)^[ \t]*\n`)

// Parse splits a manifest into its documents.
func Parse(source string, manifest []byte) ([]Document, error) {
	var out []Document
	reader := yamlreader.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		d := Document{Source: source, Raw: emptyLines.ReplaceAll(raw, nil)}
		if err := yaml.UnmarshalStrict(raw, &d.Object); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", source, err, raw)
		}
		if len(d.Object) > 0 {
			d.typed, _, d.mistake = strict.Decode(d.Raw, nil, nil)
			out = append(out, d)
		}
	}
}

// Manifests reads the plain manifests below infra/k8s.
func Manifests(root string) ([]Document, error) {
	var out []Document
	dir := filepath.Join(root, "infra", "k8s")
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".yaml" || strings.Contains(file, "values") ||
			filepath.Base(filepath.Dir(file)) == "drill" {
			return err
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		documents, err := Parse(filepath.ToSlash(name), raw)
		out = append(out, documents...)
		return err
	})
	return out, err
}

// Service is what files/services.yaml says of a service.
type Service struct {
	Name      string   `json:"name"`
	Database  bool     `json:"database"`
	Redis     bool     `json:"redis"`
	Documents bool     `json:"documents"`
	HTTP      bool     `json:"http"`
	Calls     []string `json:"calls"`
	Reaches   string   `json:"reaches"`
}

// Services reads the list that tools/generate writes for the chart.
func Services(root string) ([]Service, error) {
	raw, err := os.ReadFile(filepath.Join(root, "infra", "helm", "souk", "files", "services.yaml"))
	if err != nil {
		return nil, err
	}
	var list struct {
		Services []Service `json:"services"`
	}
	if err := yaml.UnmarshalStrict(raw, &list); err != nil {
		return nil, err
	}
	if len(list.Services) == 0 {
		return nil, errors.New("files/services.yaml lists no services")
	}
	return list.Services, nil
}
