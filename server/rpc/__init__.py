"""The gRPC edge: who calls, what is asked, what is answered.  Wire types live here only."""
