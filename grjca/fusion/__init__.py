"""The model, its training and its predictions; reads feature stores."""
