"""Records that were erased, and what each exchange carried."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = depends_on = None

UP = """
-- erased_at: when its data key was destroyed. What stays is for counting.
ALTER TABLE consents ALTER COLUMN subject_index DROP NOT NULL, ADD COLUMN erased_at timestamptz;
ALTER TABLE referrals ALTER COLUMN subject_index DROP NOT NULL, ADD COLUMN erased_at timestamptz;
CREATE INDEX referrals_kept ON referrals (created_at) WHERE erased_at IS NULL;
CREATE INDEX idempotency_referral ON idempotency (referral);

-- number: which sending of its delivery it was. fields: the places of the referral that it carried, sealed under its key.
ALTER TABLE attempts ADD COLUMN number integer, ADD COLUMN fields bytea;
"""

DOWN = """
ALTER TABLE attempts DROP COLUMN number, DROP COLUMN fields;
DROP INDEX idempotency_referral, referrals_kept;
UPDATE consents SET subject_index = '' WHERE subject_index IS NULL;
UPDATE referrals SET subject_index = '' WHERE subject_index IS NULL;
ALTER TABLE consents ALTER COLUMN subject_index SET NOT NULL, DROP COLUMN erased_at;
ALTER TABLE referrals ALTER COLUMN subject_index SET NOT NULL, DROP COLUMN erased_at;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
