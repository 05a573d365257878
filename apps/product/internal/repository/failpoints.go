package repository

// The failpoints: before the writes and after the commit of a stock transaction, and after a commit that
// changes products or listings, before the caches are invalidated.
const (
	FailBeforeStock      = "product.before_stock"
	FailAfterStockCommit = "product.after_stock_commit"
	FailAfterCommit      = "product.after_commit"
)

// Failpoints returns all failpoints.
func Failpoints() []string {
	return []string{FailBeforeStock, FailAfterStockCommit, FailAfterCommit}
}
