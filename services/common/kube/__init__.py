"""What speaks to the Kubernetes API, imported only where FineTuneFlow runs on a cluster, and pure rules beside it."""
