package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"souk/pkg/permission"
)

// permissionsDoc is the page with the tables of permissions.
const permissionsDoc = "docs/permissions.md"

// permissionDocs returns the page with the tables of permissions up to date. It is left out if the tree lacks it.
func permissionDocs(root string, c *contracts) (map[string][]byte, error) {
	raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(permissionsDoc)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	methods, err := c.methods()
	if err != nil {
		return nil, err
	}
	page := string(raw)
	for name, table := range map[string]string{"roles": rolesTable(), "methods": methodsTable(methods)} {
		if page, err = replaceTable(page, name, table); err != nil {
			return nil, err
		}
	}
	return map[string][]byte{permissionsDoc: []byte(page)}, nil
}

// replaceTable replaces what is between the lines "<!-- NAME: … -->" and "<!-- NAME end -->" of a page.
func replaceTable(page, name, table string) (string, error) {
	before, rest, ok := strings.Cut(page, "<!-- "+name+": ")
	comment, rest, ok2 := strings.Cut(rest, "\n")
	_, after, ok3 := strings.Cut(rest, "<!-- "+name+" end -->")
	if !ok || !ok2 || !ok3 {
		return "", fmt.Errorf("%s: the lines around the table %q are missing", permissionsDoc, name)
	}
	return before + "<!-- " + name + ": " + comment + "\n\n" + table + "\n<!-- " + name + " end -->" + after, nil
}

// rolesTable says which roles have which permissions at first, and who may have them in a shop.
func rolesTable() string {
	var b strings.Builder
	b.WriteString("| permission | who has it may | support | auditor | operator | admin | in a shop |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range permission.All() {
		fmt.Fprintf(&b, "| `%s` | %s |", p.Name, p.Description)
		for _, role := range []string{
			permission.RoleSupport, permission.RoleAuditor, permission.RoleOperator, permission.RoleAdmin,
		} {
			mark := ""
			if slices.Contains(permission.Default(role), p.Name) {
				mark = "yes"
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		scope := map[permission.Scope]string{
			permission.Owners: "owners", permission.Staff: "owners, staff", permission.Keys: "owners, staff, API keys",
		}
		fmt.Fprintf(&b, " %s |\n", scope[p.Scope])
	}
	return b.String()
}

// methodsTable says what each permission opens.
func methodsTable(methods []method) string {
	var b strings.Builder
	b.WriteString("| permission | in the marketplace | in the shop or the marketplace | lets do more with |\n" +
		"| --- | --- | --- | --- |\n")
	for _, p := range permission.All() {
		cells := map[string][]string{}
		for _, m := range methods {
			if m.permission != p.Name {
				continue
			}
			kind := "more"
			switch m.level {
			case levelPermission:
				kind = "marketplace"
			case levelShopPermission:
				kind = "shop"
			}
			for _, r := range m.routes {
				cell := "`" + strings.ToUpper(r.verb) + " " + r.path + "`"
				if m.recentSignIn {
					cell += " (recent sign-in)"
				}
				cells[kind] = append(cells[kind], cell)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.Name, strings.Join(cells["marketplace"], ", "),
			strings.Join(cells["shop"], ", "), strings.Join(cells["more"], ", "))
	}
	return b.String()
}
