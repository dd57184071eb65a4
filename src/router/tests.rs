//! Tests of routing with scripted backends.
