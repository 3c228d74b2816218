package kappa

import (
	"fmt"

	"github.com/spf13/cobra"
)

func leaveCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "leave INSTANCE",
		Short: "Give the tasks of a stopped instance to the others at once",
		Long: `Take an instance that will not come back out of its groups. A stopped instance
keeps its tasks until its session times out, so that a quick restart moves
nothing; this ends the wait. The instance's id stands in its log, and in the file
that its state directory keeps.`,
		Example: fmt.Sprintf("  %s leave host-7 --group clicks-per-user", app.Name),
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringSlice("group", nil, "groups to leave")
	if len(app.Groups) > 0 {
		cmd.Flags().Lookup("group").Usage += " (default: all of the program)"
		cmd.Example = fmt.Sprintf("  %s leave host-7", app.Name)
	} else {
		cmd.MarkFlagRequired("group")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		groups, _ := cmd.Flags().GetStringSlice("group")
		if len(groups) == 0 {
			groups = groupNames(app.Groups)
		}
		return leave(cmd, args[0], groups)
	}
	return cmd
}

func leave(cmd *cobra.Command, instance string, groups []string) error {
	c, err := Connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, g := range groups {
		if err := c.Leave(cmd.Context(), g, instance); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is no member of %s now\n", instance, g)
	}
	return nil
}
