package repository

// The windows between two writes where tests stop the process: around the transaction that changes stock, and
// after a catalogue write, before caches hear of it.
const (
	FailBeforeStock      = "product.before_stock"
	FailAfterStockCommit = "product.after_stock_commit"
	FailAfterCommit      = "product.after_commit"
)

// Failpoints are all of them.
func Failpoints() []string {
	return []string{FailBeforeStock, FailAfterStockCommit, FailAfterCommit}
}
