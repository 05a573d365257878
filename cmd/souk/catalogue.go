package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/catalogue"
	"souk/pkg/money"
)

func importCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import",
		Short:   "Import products",
		Example: "  souk import products catalogue.csv --create-shops",
	}
	var target apiFlags
	var o catalogue.ImportOptions
	products := &cobra.Command{
		Use:   "products FILE.csv",
		Short: "Import products from Shopify's product CSV, over the running API",
		Long: `Import products from Shopify's product CSV, over the running API.

The header is that of Shopify's files of today, or the first one (Handle, Variant SKU, …). Vendor is the shop, unless
--shop names one. The file may be UTF-8, UTF-16 or, if no row of it is UTF-8, Windows-1252. Its fields may be separated
by commas, semicolons, tabs or vertical bars. A product is known by its shop and Handle, so a second run changes nothing. Its rows may stand
apart, e.g. after the file was sorted. Prices are in --currency, unless the file has a column Currency.

A variant is known by its SKU, else by its options. What the file does not have stays as it is: variants, images,
columns, and what an empty cell stands for. Where 0 is possible, it clears a field; others are cleared by a PATCH of the
API. A negative quantity means that there is none.

With --replace, a product of which no row was rejected loses the variants, images, description, tags, category and
compare-at prices that the file does not have. A rejected row may be of the products beside it if all of its own product
was rejected, and of any product if it does not say of which one it is: then those lose nothing.

Bad rows go with line number and reason to FILE.rejected.csv, good ones are kept. Correct that file and import it like
any other: it has what a row needs of its product.

Only an operator's import adds categories. In another one, a product whose category souk does not have keeps its own or
has none, and the summary names the category. --categories FILE.csv maps categories: each row has one of the file and
one of souk's ("Home > Lamps"), or nothing for none, or ? for one that is not mapped yet. Unknown ones are added to it.

Columns that Shopify's format does not have are kept and exported again, up to 100 of them and 256 KiB a product; those
that are not are named before the summary.

An import that is interrupted, or whose server goes away, says what it did so far: run it again to import the rest.

Exit status: 0 when all rows were taken, 1 when any was rejected or the import broke off, 2 when the file can't be read
as such a CSV (nothing is imported then).`,
		Example: `  souk import products catalogue.csv --create-shops
  souk import products catalogue.csv --shop casa-cerrado --url https://shop.example --token "$TOKEN"`,
		Args: oneArg("the CSV file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := money.ParseCurrency(o.Currency); err != nil {
				return fmt.Errorf("--currency is an ISO 4217 code such as BRL, not %q", o.Currency)
			}
			client, err := target.client(cmd.Context(), data)
			if err != nil {
				return err
			}
			o.Path, o.Progress = args[0], cmd.ErrOrStderr()
			return catalogue.Import(cmd.Context(), client, cmd.OutOrStdout(), o)
		},
	}
	products.Flags().
		StringVar(&o.Shop, "shop", "", "handle of the shop that all products go to, whatever their Vendor says")
	products.Flags().StringVar(&o.Categories, "categories", "",
		"CSV that maps the file's categories to souk's; unknown ones are added to it")
	products.Flags().BoolVar(&o.CreateShops, "create-shops", false, "create the shops that are missing")
	products.Flags().BoolVar(&o.Replace, "replace", false,
		"delete what complete products have and the file does not: variants, images, description, tags …")
	products.Flags().StringVar(&o.Currency, "currency", "BRL", "ISO 4217 code of the prices")
	products.MarkFlagsMutuallyExclusive("shop", "create-shops")
	target.register(products)
	return group(cmd, products)
}

func exportCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Export products", Example: "  souk export products catalogue.csv"}
	var target apiFlags
	var shop string
	products := &cobra.Command{
		Use:   "products FILE.csv",
		Short: "Export all products in the form that import reads: importing the file changes nothing",
		Long: `Export all products in the form that import reads: importing the file changes nothing.

With --shop, the products of one shop are exported, which its members may do. The Vendor is the brand then, as in
Shopify's own files: import the file with --shop. Otherwise the Vendor is the shop.

The file has what only the shop and operators may see: costs, and the further columns of imported files. Cells that a
spreadsheet would run as a formula have an apostrophe in front, which the import takes off.

The file is replaced when all products are there; until then, and after a failure, it is as it was. With - as the file
the products go to standard output.`,
		Example: "  souk export products catalogue.csv\n  souk export products - | gzip > catalogue.csv.gz",
		Args:    oneArg("the CSV file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := target.client(cmd.Context(), data)
			if err != nil {
				return err
			}
			return catalogue.Export(cmd.Context(), client, shop, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	products.Flags().StringVar(&shop, "shop", "", "handle of the shop whose products are exported; default: all shops")
	target.register(products)
	return group(cmd, products)
}
