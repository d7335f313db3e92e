package traces

import "testing"

func TestProvidersAreNamedAsTheConventionsNameThem(t *testing.T) {
	for vendor, want := range map[string]string{
		"openai": "openai", "anthropic": "anthropic", "groq": "groq", "azure": "azure.ai.openai", "mistral": "mistral_ai", "xai": "x_ai", "": "",
	} {
		if got := providerName(vendor); got != want {
			t.Errorf("%q is called %q, want %q", vendor, got, want)
		}
	}
}
