//! Tests of the backend with a scripted transport.
