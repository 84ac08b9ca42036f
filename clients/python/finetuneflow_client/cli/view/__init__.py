"""What each kind of work looks like while it goes on, and what came of it. Views draw; they call no server."""
