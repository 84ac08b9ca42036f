"""Work that a Job does: launching it, answering its trainer, keeping its reports. Shared by every service with Jobs."""
