package catalogue

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnknownCategoriesAreNamedOnceAndMapped(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	dir := t.TempDir()
	path, mapping := filepath.Join(dir, "f.csv"), filepath.Join(dir, "categories.csv")
	rows := "Handle,Title,Vendor,Variant Price,Product Category\na,A,casa,1,Mine>Lamps\nb,B,casa,1,Mine > Lamps\n" +
		"c,C,casa,1,Known > Lamps\nd,D,casa,1,=Rugs\ne,E,casa,1,Old\n"
	require.NoError(t, os.WriteFile(path, []byte(rows), 0o600))
	out, err := f.importFile(t, path)
	require.NoError(t, err)
	require.Equal(t, "note: souk does not have the categories of 4 products, which keep theirs or have none: "+
		"Mine > Lamps (2), =Rugs (1), Old (1); --categories FILE.csv maps them\n"+
		"imported 5 products (5 variants), updated 0, unchanged 0, rejected 0\n", out)

	withMapping := func(o *ImportOptions) { o.Categories = mapping }
	_, err = f.importFile(t, path, withMapping)
	require.NoError(t, err)
	raw, err := os.ReadFile(mapping)
	require.NoError(t, err)
	require.Equal(t, "Category,Souk category\n'=Rugs,?\nMine > Lamps,?\nOld,?\n", string(raw))

	require.NoError(t, os.WriteFile(mapping,
		[]byte("Category,Souk category\n'=Rugs,?\nMine > Lamps,Known > Lights\nOld,\n"), 0o600))
	out, err = f.importFile(t, path, withMapping)
	require.NoError(t, err)
	require.Contains(t, out, "categories of 1 products, which keep theirs or have none: =Rugs (1); see "+mapping)
	require.Equal(t, []string{"Known", "Lights"}, f.products["casa/a"].GetCategoryPath())
	require.Equal(t, []string{"Known", "Lamps"}, f.products["casa/c"].GetCategoryPath())
	require.Empty(t, f.products["casa/e"].GetCategoryPath())

	require.NoError(t, os.WriteFile(mapping, []byte("a;b\n"), 0o600))
	_, err = f.importFile(t, path, withMapping)
	var unreadable *FileError
	require.ErrorAs(t, err, &unreadable)
	require.ErrorContains(t, err, "is not a mapping of categories")
}
