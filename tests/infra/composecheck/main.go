// Command composecheck loads Compose files as Compose v2 does, with its own loader: interpolation, merging of override
// files, the schema, and references to services, networks, volumes and secrets. It needs no engine. It is a module of
// its own, because the loader is not part of souk.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: composecheck COMPOSE-FILE [OVERRIDE-FILE...]")
		os.Exit(2)
	}
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n", os.Args[1:], err)
		os.Exit(1)
	}
}

func check(files []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithName("souk"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	// A file that is not mounted read-only, or not there, would be made as a folder by the engine.
	for _, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type == "bind" && !v.ReadOnly {
				return fmt.Errorf("service %s: %s is mounted so that it can be changed", s.Name, v.Source)
			}
		}
	}
	fmt.Printf(
		"%v: %d services, %d secrets, as Compose v2 loads them\n",
		files,
		len(project.Services),
		len(project.Secrets),
	)
	return nil
}
