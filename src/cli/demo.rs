//! `ringway demo`. Its sinks and generator also serve tests and benchmarks. Not built yet.
