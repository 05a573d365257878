package repository

// The failpoints of a redemption and of its release: between two writes, before the commit, and after the commit,
// before the answer.
const (
	FailInRedemption     = "voucher.in_redemption"
	FailBeforeRedemption = "voucher.before_redemption_commit"
	FailAfterRedemption  = "voucher.after_redemption_commit"
	FailInRelease        = "voucher.in_release"
	FailAfterRelease     = "voucher.after_release_commit"
)

// Failpoints returns all failpoints.
func Failpoints() []string {
	return []string{
		FailInRedemption, FailBeforeRedemption, FailAfterRedemption, FailInRelease, FailAfterRelease,
	}
}
