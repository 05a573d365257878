package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// group adds commands to cmd. Without a subcommand, cmd prints its help.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(commands...)
	cmd.Args = onlyCommands
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.DisableFlagsInUseLine = true
	return cmd
}

// onlyCommands refuses an argument that is not a subcommand of cmd, as the root command does.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // cobra's default, which it sets for the root alone
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "\n\nDid you mean this?\n\t" + strings.Join(near, "\n\t")
	} else {
		text += ": see " + cmd.CommandPath() + " --help"
	}
	return fmt.Errorf("%s", text)
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, not %q: see %[1]s --help", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneArg requires exactly one argument. The error message describes it as what.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s takes one argument, %s, not %d; for example: %s",
				cmd.CommandPath(), what, len(args), firstExample(cmd))
		}
		return nil
	}
}

// oneOf requires exactly one of the command's ValidArgs.
func oneOf(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && slices.Contains(cmd.ValidArgs, args[0]) {
		return nil
	}
	given := ""
	if len(args) > 0 {
		given = fmt.Sprintf(", not %q", strings.Join(args, " "))
	}
	return fmt.Errorf("%s takes one of %s%s; for example: %s",
		cmd.CommandPath(), strings.Join(cmd.ValidArgs, ", "), given, firstExample(cmd))
}

func firstExample(cmd *cobra.Command) string {
	first, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	return first
}
