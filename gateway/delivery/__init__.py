"""The post room: a referral leaves."""
