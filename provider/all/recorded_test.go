package all_test

import (
	"testing"

	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
)

// What real providers really answered is judged by the table of providertest,
// every file of it.
func TestEveryRecordedAnswerMeansWhatTheTableSays(t *testing.T) {
	providertest.RunRecorded(t, all.Tables())
}
