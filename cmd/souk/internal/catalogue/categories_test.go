package catalogue

import (
	"os"
	"path/filepath"
	"strings"
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

func TestMappingThatASpreadsheetSavedIsRead(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	dir := t.TempDir()
	path, mapping := filepath.Join(dir, "f.csv"), filepath.Join(dir, "categories.csv")
	require.NoError(t, os.WriteFile(path, []byte("Handle,Title,Vendor,Variant Price,Product Category\n"+
		"a,A,casa,1,Café\nb,B,casa,1,Old\n"), 0o600))
	for _, raw := range []string{
		"\xef\xbb\xbfCategory,Souk category\r\nCafé,Known > Coffee\r\n",
		"Category;Souk category\nCafé;Known > Coffee\n",
		"sep=;\r\nCategory;Souk category\r\nCaf\xe9;Known > Coffee\r\n",
		"\xff\xfeC\x00a\x00t\x00e\x00g\x00o\x00r\x00y\x00\t\x00S\x00o\x00u\x00k\x00 \x00c\x00a\x00t\x00e\x00g\x00o\x00r\x00y\x00\n\x00" +
			"C\x00a\x00f\x00\xe9\x00\t\x00K\x00n\x00o\x00w\x00n\x00>\x00C\x00o\x00f\x00f\x00e\x00e\x00\n\x00",
		"category, souk category ,\nCafé,Known > Coffee,\n",
	} {
		require.NoError(t, os.WriteFile(mapping, []byte(raw), 0o600))
		_, err := f.importFile(t, path, func(o *ImportOptions) { o.Categories = mapping })
		require.NoError(t, err)
		require.Equal(t, []string{"Known", "Coffee"}, f.products["casa/a"].GetCategoryPath())
		saved, err := os.ReadFile(mapping)
		require.NoError(t, err)
		if strings.Contains(raw, ";") {
			require.Equal(t, "Category;Souk category\nCafé;Known > Coffee\nOld;?\n", string(saved))
		}
	}
	for raw, want := range map[string]string{
		"": "the file is empty", "Category\n": "must be", "Category,Souk category\na,b\nc\n": "line 3: has 1 fields where the header has 2",
		"Category,Souk category\nCaf\xe9,x\nCafé,x\n": "line 2: Category is not valid UTF-8",
	} {
		require.NoError(t, os.WriteFile(mapping, []byte(raw), 0o600))
		_, err := f.importFile(t, path, func(o *ImportOptions) { o.Categories = mapping })
		var unreadable *FileError
		require.ErrorAs(t, err, &unreadable)
		require.ErrorContains(t, err, want)
	}
}
