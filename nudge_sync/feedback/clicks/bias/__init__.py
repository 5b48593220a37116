"""How position bias is taken out of clicks: `bias = "pbm"`, `"coec"` or `"ipw"`."""
