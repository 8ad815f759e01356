"""HTTP routes by audience: Label Studio's ML protocol, and the API of admins and scripts."""
