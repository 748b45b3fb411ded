-- The settings of the built-in application when it is run from this folder (./run).
return {
  plugins = { "security-headers", "badge", "chart", "basic-metrics-page" },
}
